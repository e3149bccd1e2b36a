"""A new model version from a reader's corrections.

From plan to version, in the order of what happens. Without torch, so that a window may use it:

- `plan`, `journal`: what is asked for, and how it is made of a reader's journal
- `runs`, `client`, `watch`: the folder of each fine-tuning, the process that works in it, what is to be seen of it
- `folds`, `child_rule`, `gate`: tissue that a child did not learn from, its rule by that, parent and child compared
- `outcome`, `publish`: what is left in the folder, and how the child joins the reader's models

With torch, in a process of its own (`process`): `job` is the whole, `looking` what versions see, `material` what may
be learnt from it, `tune` the training. `simulated_reader` measures what all of this is worth.
"""

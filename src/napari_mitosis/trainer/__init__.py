"""Fine-tuning seen from the viewer: the process that trains, the folders of runs, plans from the journal.

No Qt and no torch.
"""

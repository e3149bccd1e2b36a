"""Cases: fields of one patient, what of them is counted, the number that goes into the report, and the report."""

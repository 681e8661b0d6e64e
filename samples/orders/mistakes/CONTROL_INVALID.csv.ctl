file=CONTROL_INVALID.csv
rows=3

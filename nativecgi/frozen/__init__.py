"""The program's side of freezing: its freeze point, and what each new process has anew."""

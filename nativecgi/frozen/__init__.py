"""The program's side of freezing: the freeze point, and what is renewed in each process."""

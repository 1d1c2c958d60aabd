"""Request bodies and answers in transit: everything that reads or writes their descriptors."""

"""What is particular to one method in training: its features, the rows that train and the rows that count."""

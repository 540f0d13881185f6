"""The evaluation of one configuration on a dataset."""

# The recipe needs frameworks that tests do without.
collect_ignore = ["make.py"]

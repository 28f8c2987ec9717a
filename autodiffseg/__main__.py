"""`python -m autodiffseg` is the same as the console script `autodiffseg`."""

from autodiffseg.cli import main

if __name__ == "__main__":
    main()

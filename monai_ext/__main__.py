"""``python -m monai_ext COMMAND``."""

import sys

from monai_ext.cli import main

if __name__ == "__main__":
    sys.exit(main())

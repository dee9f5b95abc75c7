"""Start the command line: ``python -m tao_skill``."""

import sys

from tao_skill.cli.main import main

if __name__ == "__main__":
    sys.exit(main())

"""Check every skill as an agent would find it: its front matter, its links, its tables, its size."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from skills_ref import validate

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tao_skill.bank.skill import load_skill  # noqa: E402
from tao_skill.errors import TaoSkillError  # noqa: E402

MOST_LINES = 250
# Half a letter less to a token than prose has, for tables and keys cost more.
MOST_LETTERS = int(5000 * 3.5)
LINK = re.compile(r"\[[^\]]*\]\(([^)#]+)[^)]*\)")


def messages(directory: Path) -> Iterator[str]:
    """Yield what is wrong with a skill."""
    yield from validate(directory)
    for page in sorted(directory.rglob("*.md")):
        text = page.read_text(encoding="utf-8")
        if page.name == "SKILL.md" and len(text.splitlines()) > MOST_LINES:
            yield f"{page.name} has {len(text.splitlines())} lines; at most {MOST_LINES}"
        if page.name == "SKILL.md" and len(text) > MOST_LETTERS:
            yield f"{page.name} has {len(text)} letters; at most {MOST_LETTERS}, about 5,000 tokens"
        for target in LINK.findall(text):
            if "://" not in target and not (page.parent / target).exists():
                yield f"{page.relative_to(directory)} links to {target}, which is not there"
    for entry in directory.rglob("*"):
        if entry.is_symlink():
            yield f"{entry.relative_to(directory)} is a symbolic link: they break in archives, wheels and on Windows"
    if (directory / "references" / "skill_info.yaml").is_file():
        try:
            load_skill(directory)
        except TaoSkillError as error:
            yield str(error)


def main() -> int:
    """Check all skills; return the exit code."""
    skills = sorted(page.parent for page in ROOT.glob("skills/*/SKILL.md"))
    found = [(skill, message) for skill in skills for message in messages(skill)]
    for directory, message in found:
        print(f"{directory.name}: {message}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

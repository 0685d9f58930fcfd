import sys
from pathlib import Path

rows = Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
print("training on", len(rows), "rows")
Path("outputs").mkdir(exist_ok=True)
Path("outputs/model.txt").write_text("a model", encoding="utf-8")
Path(sys.argv[2], "scores.txt").write_text("0.5", encoding="utf-8")

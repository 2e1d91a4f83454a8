"""Includes point one way only (docs/architecture.md, section 1), and some headers belong to one folder alone.

    check_layers.py ROOT      prints every #include that breaks a rule; exit code 1 if there is one
    check_layers.py --self-test
"""
import pathlib
import re
import sys
import tempfile

# folder: the folders that it may include beside itself
ALLOWED = {
    "core": "",
    "configs": "core",
    "kernels": "core configs",
    "data": "core configs",
    "observe": "core",
    "parallel": "core configs kernels",
    "model": "core configs kernels parallel",
    "optim": "core configs kernels parallel model",
    "checkpoints": "core configs kernels parallel model optim",
    "inference": "core configs kernels parallel model optim checkpoints",
    "trainer": "core configs kernels parallel model optim checkpoints inference data observe",
    "rl": "core configs kernels parallel model optim checkpoints inference data observe trainer",
    "launch": "core configs kernels parallel model optim checkpoints inference data observe trainer rl",
}
# header: where it may be included (a path prefix, and whether only in .cpp files)
CONFINED = {
    "mpi.h": ("parallel/", True),
    "nccl.h": ("parallel/", True),
    "hdf5.h": ("data/shards/", False),
    "yaml-cpp/": ("configs/", True),
}
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def violations(root):
    for folder, allowed in ALLOWED.items():
        permitted = set(allowed.split()) | {folder}
        for path in sorted((root / folder).rglob("*")):
            if path.suffix not in {".h", ".cpp", ".inl", ".cu", ".cuh"}:
                continue
            relative = path.relative_to(root).as_posix()
            for number, line in enumerate(path.read_text().splitlines(), 1):
                match = INCLUDE.match(line)
                if not match:
                    continue
                header = match.group(2)
                top = header.split("/")[0]
                if match.group(1) == '"' and top in ALLOWED and top not in permitted:
                    yield f"{relative}:{number}: {folder}/ may not include {header} (allowed: {allowed or 'nothing'})"
                for confined, (prefix, sources_only) in CONFINED.items():
                    named = header == confined or (confined.endswith("/") and header.startswith(confined))
                    if named and not (relative.startswith(prefix) and (path.suffix == ".cpp" or not sources_only)):
                        yield f"{relative}:{number}: {header} belongs into {prefix} alone"


def self_test():
    with tempfile.TemporaryDirectory() as directory:
        root = pathlib.Path(directory)
        (root / "core").mkdir()
        (root / "data").mkdir()
        (root / "core" / "a.h").write_text('#include "configs/option.h"\n')
        (root / "data" / "b.cpp").write_text('#include <mpi.h>\n#include "core/error.h"\n#include "model/spec.h"\n')
        found = list(violations(root))
    assert len(found) == 3, found


if __name__ == "__main__":
    if sys.argv[1] == "--self-test":
        self_test()
    else:
        broken = list(violations(pathlib.Path(sys.argv[1])))
        print("\n".join(broken) or "includes point one way")
        sys.exit(bool(broken))

"""Writes unicode_class_data.inc: the code points of the major general categories L, M, N, P, S of Unicode 16.0.

Run:  pip install unicodedata2==16.0.0 && python make_unicode_class_data.py > unicode_class_data.inc

The version is pinned: splitting rules, and so token ids, must not change with the system's Unicode library.
"""
import unicodedata2

PER_LINE = 6


def runs():
    first, kind = 0, None
    for c in range(0x110001):
        k = unicodedata2.category(chr(c))[0] if c < 0x110000 else None
        if k != kind:
            if kind in tuple("LMNPS"):
                yield f"{{0x{first:X}, 0x{c - 1:X}, k{kind}}}"
            first, kind = c, k


assert unicodedata2.unidata_version == "16.0.0"
entries = list(runs())
print("// Written by make_unicode_class_data.py from Unicode 16.0: {first, last, category}, ascending.")
for i in range(0, len(entries), PER_LINE):
    print(", ".join(entries[i:i + PER_LINE]) + ",")

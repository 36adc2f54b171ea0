#!/usr/bin/python3
"""tensors.py: .safetensors files for the tests, written by Python's own library.

write(path, tensors, metadata): tensors maps a name to (dtype, shape, bytes), in
the order of their data.  Without arguments it looks at one that it has written.
"""
import json
import struct
import sys
import tempfile


def header(tensors, metadata=None):
    head, at = {"__metadata__": metadata} if metadata else {}, 0
    for name, (dtype, shape, data) in tensors.items():
        head[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    return head


def write_raw(path, head, data):
    """head may be wrong: a dictionary, or the bytes themselves."""
    text = head if isinstance(head, bytes) else json.dumps(head).encode()
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text + data)


def write(path, tensors, metadata=None):
    write_raw(path, header(tensors, metadata), b"".join(data for _, _, data in tensors.values()))


if __name__ == "__main__":
    with tempfile.NamedTemporaryFile() as f:
        write(f.name, {"a": ("U8", (2,), b"xy"), "b": ("F32", (), bytes(4))}, {"arch": "input 1"})
        data = f.read()
    want = b'{"__metadata__": {"arch": "input 1"}, "a": {"dtype": "U8", "shape": [2], "data_offsets": [0, 2]}, '
    want += b'"b": {"dtype": "F32", "shape": [], "data_offsets": [2, 6]}}'
    sys.exit(data != struct.pack("<Q", len(want)) + want + b"xy\0\0\0\0")

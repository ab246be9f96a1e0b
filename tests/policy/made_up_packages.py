"""A tiny model as a GGUF file, cut into packages that pip installs from a local folder."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from pathlib import Path

import numpy as np

from falcon.policy.backbone import EMBEDDED, locate
from falcon.policy.packaged import PackagedModel, Part

WIDTH, HIDDEN, VOCABULARY = 32, 64, 1024
SIZES = {
    "llama.block_count": 1,
    "llama.embedding_length": WIDTH,
    "llama.feed_forward_length": HIDDEN,
    "llama.attention.head_count": 2,
    "llama.attention.head_count_kv": 1,
    "llama.rope.dimension_count": WIDTH // 2,
}
SHAPES = {
    "token_embd.weight": (VOCABULARY, WIDTH),
    "blk.0.attn_q.weight": (WIDTH, WIDTH),
    "blk.0.attn_k.weight": (WIDTH // 2, WIDTH),
    "blk.0.attn_v.weight": (WIDTH // 2, WIDTH),
    "blk.0.attn_output.weight": (WIDTH, WIDTH),
    "blk.0.ffn_gate.weight": (HIDDEN, WIDTH),
    "blk.0.ffn_up.weight": (HIDDEN, WIDTH),
    "blk.0.ffn_down.weight": (WIDTH, HIDDEN),
    "blk.0.attn_norm.weight": (WIDTH,),
    "blk.0.ffn_norm.weight": (WIDTH,),
    "output_norm.weight": (WIDTH,),
}


def write_gguf(file: Path) -> None:
    """A Llama of one layer and width 32, in float16, with the first tokens of the embedded model."""
    from gguf import GGUFReader, GGUFValueType, GGUFWriter

    writer = GGUFWriter(file, "llama")
    fields = GGUFReader("/".join(locate(EMBEDDED))).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()[:VOCABULARY]
    merges = fields["tokenizer.ggml.merges"].contents()
    known = set(tokens)
    shorter = {
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": fields["tokenizer.ggml.token_type"].contents()[:VOCABULARY],
        "tokenizer.ggml.merges": [m for m in merges if m.replace(" ", "") in known],
        "llama.vocab_size": VOCABULARY,
    }
    for field in fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        inner = field.types[-1] if kind == GGUFValueType.ARRAY else None
        value = (SIZES | shorter).get(field.name, field.contents())
        writer.add_key_value(field.name, value, kind, sub_type=inner)
    draw = np.random.default_rng(0)
    for name, shape in SHAPES.items():
        values = draw.normal(0, 0.3, shape) if len(shape) > 1 else np.ones(shape)
        writer.add_tensor(name, values.astype(np.float16 if len(shape) > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_wheel(folder: Path, package: str, version: str, data: bytes) -> Path:
    """A wheel with the file ``data.bin``. Its module ends whoever imports it."""
    module = package.replace("-", "_")
    info = f"{module}-{version}.dist-info"
    files = {
        f"{module}/__init__.py": b"raise SystemExit('it was imported')\n",
        f"{module}/data.bin": data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        rows.append(f"{name},sha256={digest},{len(content)}\n")
    files[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{module}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in files.items():
            # Of one date, so that equal contents give equal wheels.
            archive.writestr(zipfile.ZipInfo(name), content)
    return wheel


def package_model(
    content: bytes, folder: Path, *, name: str = "made-up", n: int = 3
) -> PackagedModel:
    """The model whose GGUF file has these bytes; the wheels of its ``n`` parts go to ``folder``."""
    step = -(-len(content) // n)
    parts = []
    for number in range(n):
        data, package = content[number * step : (number + 1) * step], f"{name}-part{number + 1}"
        wheel = write_wheel(folder, package, "0.1", data)
        file = f"{package.replace('-', '_')}/data.bin"
        parts.append(Part(package, file, len(data), hashlib.sha256(wheel.read_bytes()).hexdigest()))
    return PackagedModel(
        name=name,
        parameters=VOCABULARY * WIDTH,
        licence="CC0-1.0",
        version="0.1",
        sha256=hashlib.sha256(content).hexdigest(),
        parts=tuple(parts),
        folder_size=2 * VOCABULARY * WIDTH + 2**22,
    )

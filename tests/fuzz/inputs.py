"""Hostile texts, tables, recordings, images, archives, tokenizers and pickles with code."""

import gzip
import io
import json
import pickle
import random
import struct
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.io import wavfile

from analog_samson.data import open_data
from analog_samson.data.samples import open_samples
from analog_samson.models.checkpoint import load_checkpoint
from analog_samson.models.huggingface import load_huggingface, load_tokenizer, parse_huggingface
from fuzz.guard import ran
from fuzz.judge import Attempts
from fuzz.mutations import damaged_bytes, damaged_tree

_ROWS = [("a cat sat", "pos", 1.5), ("a dog <script>ran</script>", "neg", 0.5), ("the cat, ran", "pos", 2.0)]
_WORDS = ["[PAD]", "[UNK]", "a", "cat", "dog", "ran"]


class Code:
    """Unpickled, it runs code."""

    def __init__(self, way: int) -> None:
        self._way = way

    def __reduce__(self):
        run = "import fuzz.guard; fuzz.guard.ran.append('code')"
        ways = ((exec, (run,)), (eval, (f"exec({run!r})",)), (ran.append, ("code",)), (print, ("code",)))
        return ways[self._way % len(ways)]


def code_attempts(folder: Path, count: int) -> Attempts:
    """Pickles with code under every suffix, bare, as torch writes them, in archives, and damaged."""
    draw, tensor = random.Random(8), torch.zeros(2)
    suffixes = ("pt", "pth", "th", "bin", "ckpt", "safetensors", "npz", "npy")
    originals = []
    for way in range(4):
        content = {"state_dict": {"weight": tensor}, "more": Code(way)}
        for new in (True, False):
            buffer = io.BytesIO()
            torch.save(content, buffer, _use_new_zipfile_serialization=new)
            originals.append(buffer.getvalue())
        for protocol in (0, 2, 4):
            originals.append(pickle.dumps(content, protocol))
        arrays = io.BytesIO()
        hostile = np.array([Code(way)] * 3, dtype=object)
        np.savez(arrays, images=hostile, labels=np.arange(3))
        originals.append(arrays.getvalue())
    for content in originals[:8]:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as packed:  # as torch lays it out
            packed.writestr("archive/data.pkl", content)
            packed.writestr("archive/version", "3\n")
        originals.append(buffer.getvalue())
    for turn in range(count):
        content = draw.choice(originals)
        file = folder / f"net.{draw.choice(suffixes)}"
        file.write_bytes(content if turn % 2 else damaged_bytes(content, draw))
        if file.suffix in (".npz", ".npy"):
            yield "code, npz", lambda file=file: open_data(f"npz:{file}", "test")
        else:
            yield "code", lambda file=file: load_checkpoint(file)
        file.unlink()


def archive_attempts(folder: Path, count: int) -> Attempts:
    """Archives of tar and zip with paths out of their folder, links and damaged members, as checkpoints and data."""
    draw = random.Random(9)
    names = ("archive/data.pkl", "../../escaped", "/tmp/escaped", "archive/data/0", "a\0b", "images.npy", "labels.npy")
    names += ("0.png", "0.cls")
    image = io.BytesIO()
    Image.new("RGB", (2, 2)).save(image, "png")
    contents = (b"", b"0", image.getvalue())
    for turn in range(count):
        buffer, packed = io.BytesIO(), draw.random() < 0.5
        members = [
            (draw.choice(names), draw.choice((*contents, draw.randbytes(300)))) for _ in range(draw.randint(0, 4))
        ]
        if packed:
            with zipfile.ZipFile(buffer, "w", draw.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as made:
                for name, content in dict(members).items():
                    made.writestr(name, content)
        else:
            with tarfile.open(fileobj=buffer, mode=draw.choice(("w", "w:gz"))) as made:
                for name, content in members:
                    entry = tarfile.TarInfo(name.replace("\0", ""))
                    entry.type, entry.linkname = draw.choice((tarfile.REGTYPE, tarfile.SYMTYPE)), "/etc/passwd"
                    entry.size = len(content) if entry.isreg() else 0
                    made.addfile(entry, io.BytesIO(content))
        content = buffer.getvalue()
        file = folder / draw.choice(("net.pt", "net.tar", "data.npz", "data.tar", "net.safetensors"))
        file.write_bytes(damaged_bytes(content, draw) if turn % 2 else content)
        kind = {"data.npz": "npz", "data.tar": "shards"}.get(file.name)
        if kind is None:
            yield "archive", lambda file=file: load_checkpoint(file)
        else:
            yield "archive", lambda file=file, kind=kind: open_data(f"{kind}:{file}", "test")


def array_attempts(folder: Path, count: int) -> Attempts:
    """IDX files, plain and packed, and the pickles of CIFAR-10."""
    draw = random.Random(10)
    images, labels = np.arange(96, dtype=np.uint8).reshape(6, 4, 4), np.arange(6, dtype=np.uint8) % 3
    whole = {
        "t10k-images-idx3-ubyte": struct.pack(">HBB3I", 0, 8, 3, 6, 4, 4) + images.tobytes(),
        "t10k-labels-idx1-ubyte": struct.pack(">HBBI", 0, 8, 1, 6) + labels.tobytes(),
    }
    batch = folder / "cifar-10-batches-py" / "test_batch"
    batch.parent.mkdir()
    values = np.zeros((2, 3072), np.uint8)
    pickled = [pickle.dumps({b"data": values, b"labels": [0, 1]}, protocol) for protocol in (2, 3, 4)]
    pickled += [pickle.dumps({b"data": Code(way), b"labels": [0, 1]}, 2) for way in range(4)]
    idx = folder / "idx"
    idx.mkdir()
    for turn in range(count):
        if turn % 2:
            batch.write_bytes(damaged_bytes(draw.choice(pickled), draw) if turn % 4 == 1 else draw.choice(pickled))
            yield "cifar10", lambda: open_data(f"cifar10:{folder}", "test")
        else:
            hurt, packed = draw.choice(list(whole)), turn % 4 == 0
            for name, content in whole.items():
                content = damaged_bytes(content, draw) if name == hurt else content
                content = gzip.compress(content, 1) if packed else content
                (idx / f"{name}{'.gz' if packed else ''}").write_bytes(content)
                (idx / f"{name}{'' if packed else '.gz'}").unlink(missing_ok=True)
            yield "idx", lambda: open_data(f"idx:{idx}", "test")


def image_attempts(folder: Path, count: int) -> Attempts:
    draw = random.Random(11)
    originals = []
    for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("BMP", "bmp"), ("GIF", "png"), ("TIFF", "png")):
        buffer = io.BytesIO()
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(buffer, kind)
        originals.append((buffer.getvalue(), suffix))
    place = folder / "set" / "class"
    place.mkdir(parents=True)
    for _ in range(count):
        content, suffix = draw.choice(originals)
        file = place / f"0.{suffix}"
        file.write_bytes(damaged_bytes(content, draw))
        yield "image", lambda: open_data(f"folder:{folder / 'set'}", "test")
        file.unlink()


def text_attempts(folder: Path, count: int) -> Attempts:
    draw, columns = random.Random(12), ("text", "label", "score")
    records = [dict(zip(columns, row, strict=True)) for row in _ROWS]
    lines = {"csv": ",", "tsv": "\t"}
    whole = {kind: "\n".join(mark.join(map(str, row)) for row in [columns, *_ROWS]) for kind, mark in lines.items()}
    whole |= {"json": json.dumps(records), "jsonl": "\n".join(map(json.dumps, records)), "txt": "a cat\nran\n"}
    options = ("", ",text=0", ",header=no", ",label=score", ",text=x", ",label=<b>", ",columns=2")
    for turn in range(count):
        kind = draw.choice(list(whole))
        content = damaged_bytes(whole[kind].encode(), draw)
        if kind == "json" and turn % 2:
            content = json.dumps(damaged_tree(records, draw)).encode()
        if turn % 50 == 0:
            content = content.replace(b"neg", str(10 ** draw.randint(5, 30)).encode()).replace(b"pos", b"1")
        file = folder / f"texts.{kind}"
        file.write_bytes(content)
        spec = f"{draw.choice(('text', 'pairs'))}:{file}{draw.choice(options)}"
        yield "text", lambda spec=spec: open_samples(spec)


def audio_attempts(folder: Path, count: int) -> Attempts:
    draw = random.Random(13)
    originals = []
    for kind in (np.int16, np.uint8, np.float32, np.int32):
        buffer = io.BytesIO()
        wavfile.write(buffer, 16000, np.arange(40).astype(kind))
        originals.append(buffer.getvalue())
    (folder / "set" / "word").mkdir(parents=True)
    (folder / "good.wav").write_bytes(originals[0])
    tables = ("path,label\ngood.wav,a\n", "path,text\ngood.wav,a b\n", "first,second,same\ngood.wav,good.wav,1\n")
    for turn in range(count):
        if turn % 3:
            (folder / "set" / "word" / "0.wav").write_bytes(damaged_bytes(draw.choice(originals), draw))
            spec = f"audio:{folder / 'set'}{draw.choice(('', ',samples=30', ',samples=x'))}"
        else:
            (folder / "list.csv").write_bytes(damaged_bytes(draw.choice(tables).encode(), draw))
            spec = f"audio:{folder / 'list.csv'}"
        yield "audio", lambda spec=spec: open_samples(spec)


def tokenizer_attempts(folder: Path, count: int) -> Attempts:
    """Folders of Hugging Face whose tokenizer or configuration is damaged or names code."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    transformers.logging.set_verbosity_error()
    draw = random.Random(14)
    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(_WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.save_pretrained(folder)
    code = {"auto_map": {"AutoModel": "evil.Net", "AutoTokenizer": ["evil.Words", None], "AutoConfig": "evil.Net"}}
    (folder / "evil.py").write_text("import fuzz.guard\nfuzz.guard.ran.append('code')\n")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", **code}))
    names = ("tokenizer.json", "tokenizer_config.json", "config.json")
    whole = {name: (folder / name).read_text() for name in names}
    for turn in range(count):
        for name, text in whole.items():
            (folder / name).write_text(text)
        name = draw.choice(names)
        tree = damaged_tree(json.loads(whole[name]) | (code if turn % 3 == 0 else {}), draw)
        content = json.dumps(tree).encode() if turn % 2 else damaged_bytes(whole[name].encode(), draw)
        (folder / name).write_bytes(content)
        read = load_huggingface if name == "config.json" else load_tokenizer
        yield name, lambda read=read: read(parse_huggingface(f"hf:{folder}"))

#!/usr/bin/env python3
"""Our tokenizer.json in Hugging Face's tokenizers: it must load there and give the same ids.

    tests/peers/tokenizer.py [BUILD_DIR] [TEXT...]

Trains on each text with every pattern by BUILD_DIR/tests/unit/test_tokenizer, then encodes the text
with both; the other way round, the peer trains and we read its file.  Without texts: a mixture of
scripts made here, and /usr/share/common-licenses/GPL-3.  Speaks TAP; skips with a message where the package is not installed."""

import os
import random
import subprocess
import sys
import tempfile

try:
    import tokenizers
except ImportError:
    print("1..0 # SKIP the Python package 'tokenizers' is not installed")
    sys.exit(0)

PATTERNS = ["bytes", "qwen2", "gpt-2", "llama-bpe", "gpt-4o"]
cases = 0
failed = 0


def ok(condition, what):
    global cases, failed
    cases += 1
    failed += not condition
    print(f"{'ok' if condition else 'not ok'} {cases} - {what}")


def mixture():
    """Words of many scripts, spaces of many kinds, contractions, numbers, punctuation."""
    rng = random.Random(1)
    parts = ["the", "Th'e", "don't", "WE'LL", "I'm", "x's", "'tis", " ", "  ", "\n", "\n\n", "\r\n",
             "\t", "\u00a0", "\u3000", "\u2028", "\u180e", "\u0085", "1", "123", "12345", "\u0663",
             "\u216b", "\u00bd", "caf\u00e9", "e\u0301t\u00e9", "\u4f60\u597d", "\U0001f682",
             "\u0440\u0443\u0441", "\u0939\u093f\u0928\u094d", "...", "==", "/*", "a_b", "A", "bC",
             "HTTPServer", "\u01c5", "\u02b0", "\u017f", "'\u017f", ".\n", "!\r\n", "(x)", "//\n/"]
    return "".join(rng.choice(parts) + rng.choice(["", " ", ""]) for _ in range(60000))


def compare(program, text_path, pattern, folder):
    with open(text_path, "rb") as f:
        raw = f.read()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        print(f"# {text_path} is not UTF-8: left out")
        return
    json_path, ids_path = os.path.join(folder, "t.json"), os.path.join(folder, "ids")
    subprocess.run([program, text_path, pattern, json_path, ids_path], check=True,
                   stderr=subprocess.DEVNULL)
    with open(ids_path) as f:
        ours = [int(line) for line in f]
    peer = tokenizers.Tokenizer.from_file(json_path)
    theirs = peer.encode(text, add_special_tokens=False).ids
    same = ours == theirs
    ok(same, f"{pattern}: {os.path.basename(text_path)}: {len(ours)} ids")
    if not same:
        at = next((i for i, (a, b) in enumerate(zip(ours, theirs)) if a != b), -1)
        print(f"# first difference at id {at}: ours {ours[at:at + 5]}, theirs {theirs[at:at + 5]}")
        print(f"# after {peer.decode(ours[max(0, at - 5):at])!r}")
    ok(peer.decode(ours, skip_special_tokens=False) == text, f"{pattern}: the peer decodes our ids")


def compare_trained(program, text_path, folder):
    """The peer trains and saves (merges as pairs, its own order of bytes); we load and encode."""
    from tokenizers import models, pre_tokenizers, decoders, trainers
    with open(text_path, "rb") as f:
        text = f.read().decode("utf-8", "replace")
    peer = tokenizers.Tokenizer(models.BPE())
    peer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    peer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    peer.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=1500, show_progress=False, initial_alphabet=alphabet,
        special_tokens=["<|endoftext|>"]))
    json_path, ids_path = os.path.join(folder, "p.json"), os.path.join(folder, "ids")
    utf8_path = os.path.join(folder, "utf8.txt")
    with open(utf8_path, "wb") as f:
        f.write(text.encode())
    peer.save(json_path)
    run = subprocess.run([program, utf8_path, "load", json_path, ids_path], stderr=subprocess.PIPE)
    theirs = peer.encode(text, add_special_tokens=False).ids
    ours = []
    if run.returncode == 0:
        with open(ids_path) as f:
            ours = [int(line) for line in f]
    ok(ours == theirs, f"trained by the peer: {len(theirs)} ids {run.stderr.decode().strip()}")


def main():
    build = sys.argv[1] if len(sys.argv) > 1 else os.environ.get("builddir", ".")
    program = os.path.join(build, "tests", "unit", "test_tokenizer")
    if not os.path.exists(program):
        print(f"1..0 # SKIP {program} is not built")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        texts = sys.argv[2:]
        if not texts:
            texts = [os.path.join(folder, "mixture.txt")]
            with open(texts[0], "wb") as f:
                f.write(mixture().encode())
            if os.path.exists("/usr/share/common-licenses/GPL-3"):
                texts.append("/usr/share/common-licenses/GPL-3")
        for text in texts:
            for pattern in PATTERNS:
                compare(program, text, pattern, folder)
            compare_trained(program, text, folder)
    print(f"1..{cases}")
    return failed > 0


sys.exit(main())

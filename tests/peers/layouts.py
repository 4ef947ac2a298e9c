#!/usr/bin/env python3
"""tokenizer.json of every published layout, in small, trained by Hugging Face's tokenizers, with ids.

    layouts.py FOLDER [STRINGS]     NAME.json, and NAME.ids.json: {"strings", "ids", "special",
                                    "decoded"} of as many made-up strings (2000)
    layouts.py --golden FOLDER      some of them, smaller, with golden.json: what tests/tokenizers holds

tests/peers/layouts.lua compares.  Exit status 77 where the package is not installed."""

import json
import random
import sys

try:
    from tokenizers import (
        AddedToken,
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        processors,
        trainers,
    )
except ImportError:
    sys.exit(77)

P = pre_tokenizers
N = normalizers
rng = random.Random(5)
small = "--golden" in sys.argv
PARTS = [
    "the",
    "Th'e",
    "don't",
    "WE'LL",
    "I'm",
    "x's",
    "'tis",
    " ",
    "  ",
    "   ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "\u00a0",
    "\u3000",
    "\u2028",
    "\u180e",
    "\u0085",
    "1",
    "123",
    "12345",
    "\u0663",
    "\u216b",
    "\u00bd",
    "caf\u00e9",
    "e\u0301t\u00e9",
    "\u4f60\u597d",
    "\U0001f682",
    "\u0440\u0443\u0441",
    "\u0939\u093f\u0928\u094d",
    "...",
    "==",
    "/*",
    "a_b",
    "A",
    "bC",
    "HTTPServer",
    "\u01c5",
    "\u02b0",
    "\u017f",
    "'\u017f",
    ".\n",
    "!\r\n",
    "(x)",
    "//\n/",
    "hello",
    "world",
    "def f(x):\n    return x",
    "the cat sat on the mat",
    "\uac00\u1100\u1161",
    "\ufb01",
    "\u1e9b\u0323",
    "q\u0307\u0323",
    "\u0344",
    "\u212b",
    "\u2126",
    "\uff21",
    "\u2460",
    "\u3042\u304b\u3099",
    "\u0130",
    "\u03a3\u03c2",
    "\u2581",
    "\u2581a",
    "\u200d",
    "\u200c",
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<think>",
    "</think>",
    "<s>",
    "</s>",
    "<unk>",
    "<|eot_id|>",
    "|||IP|||",
    "[MASK]",
    "tool",
    "TOOL",
    "<\uff5cend\u2581of\u2581sentence\uff5c>",
    "<0x41>",
    "\x00",
    "\u0301",
]


def text(n):
    return "".join(rng.choice(PARTS) + rng.choice(["", "", " ", "", "  "]) for _ in range(n))


CORPUS = [text(40) for _ in range(400)]
GPT2 = Regex(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
CL = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def A(c, special=True, **k):
    return AddedToken(c, special=special, **({"normalized": not special} | k))


def bl(**k):
    return P.ByteLevel(**({"add_prefix_space": False} | k))


def byte_level(pre, norm=None, special=["<|endoftext|>"], added=[], vocab=600, **mk):
    t = Tokenizer(models.BPE(**mk))
    if norm:
        t.normalizer = norm
    t.pre_tokenizer = pre
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=310 if small else vocab,
            show_progress=False,
            initial_alphabet=P.ByteLevel.alphabet(),
            special_tokens=special,
        ),
    )
    for a in added:
        (t.add_special_tokens if a.special else t.add_tokens)([a])
    return t


def sp(norm, pre, dec, fallback=True, vocab=700, added=[], strip_chars=True, **mk):
    t = Tokenizer(models.BPE(byte_fallback=fallback, unk_token="<unk>", fuse_unk=True, **mk))
    t.normalizer = norm
    if pre:
        t.pre_tokenizer = pre
    special = ["<unk>", "<s>", "</s>"] + (["<0x%02X>" % b for b in range(256)] if fallback else [])
    # trained with splits at the mark, as SentencePiece does
    u = Tokenizer(models.BPE(unk_token="<unk>"))
    u.normalizer = norm
    u.pre_tokenizer = pre or P.Split("\u2581", "merged_with_next")
    u.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=len(special) + 90 if small else vocab,
            show_progress=False,
            special_tokens=special,
            limit_alphabet=50 if small else 60,
        ),
    )
    m = json.loads(u.to_str())["model"]
    j = json.loads(t.to_str())
    j["model"].update(vocab=m["vocab"], merges=m["merges"])
    t = Tokenizer.from_str(json.dumps(j))
    t.decoder = dec
    t.add_special_tokens(
        [AddedToken(x, special=True, normalized=False) for x in ["<unk>", "<s>", "</s>"]]
    )
    for a in added:
        (t.add_special_tokens if a.special else t.add_tokens)([a])
    return t


L = {}
L["gpt2"] = lambda: byte_level(bl(use_regex=True))
L["roberta"] = lambda: byte_level(
    bl(use_regex=True, add_prefix_space=True), added=[A("[MASK]", lstrip=True)]
)
L["neox"] = lambda: byte_level(
    bl(use_regex=True),
    N.NFC(),
    special=["<|endoftext|>", "<|padding|>"],
    added=[A(" " * n, False) for n in range(8, 1, -1)] + [A("|||IP|||", False)],
)
L["qwen"] = lambda: byte_level(
    P.Sequence([P.Split(Regex(CL % ""), "isolated"), bl(use_regex=False)]),
    N.NFC(),
    added=[A("<|im_start|>"), A("<|im_end|>")]
    + [A(x, False, normalized=False) for x in ["<think>", "</think>"]],
)


def llama3():
    t = byte_level(
        P.Sequence([P.Split(Regex(CL % "{1,3}"), "isolated"), bl(use_regex=False)]),
        special=[],
        added=[A(x) for x in ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"]],
    )
    j = json.loads(t.to_str())
    j["model"]["ignore_merges"] = True
    t = Tokenizer.from_str(json.dumps(j))
    t.post_processor = processors.Sequence(
        [
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(
                single="<|begin_of_text|> $A",
                pair="<|begin_of_text|> $A $B",
                special_tokens=[("<|begin_of_text|>", t.token_to_id("<|begin_of_text|>"))],
            ),
        ]
    )
    return t


L["llama3"] = llama3


def deepseek():
    return byte_level(
        P.Sequence(
            [
                P.Split(Regex("[\r\n]"), "isolated"),
                P.Split(Regex("\\s?\\p{L}+"), "isolated"),
                P.Split(Regex("\\s?\\p{P}+"), "isolated"),
                P.Split(Regex("[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"), "isolated"),
                P.Digits(individual_digits=True),
                bl(use_regex=False),
            ]
        ),
        special=[],
        added=[
            A("<\uff5cbegin\u2581of\u2581sentence\uff5c>"),
            A("<\uff5cend\u2581of\u2581sentence\uff5c>"),
            A("tool", False, normalized=True, single_word=True),
        ],
    )


L["deepseek"] = deepseek
L["deepseek3"] = lambda: byte_level(
    P.Sequence(
        [
            P.Split(Regex(r"\p{N}{1,3}"), "isolated"),
            P.Split(Regex("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), "isolated"),
            P.Split(
                Regex(
                    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
                ),
                "isolated",
            ),
            bl(use_regex=False),
        ]
    )
)
L["smollm"] = lambda: byte_level(
    P.Sequence([P.Digits(individual_digits=True), bl(use_regex=True)]),
    added=[A("<|im_start|>"), A("<|im_end|>")],
)
L["minimind"] = lambda: byte_level(
    bl(use_regex=True), special=["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
)
L["minimind_old"] = lambda: byte_level(
    bl(use_regex=True), special=["<unk>", "<s>", "</s>"], unk_token="<unk>"
)
llama_dec = lambda: decoders.Sequence(
    [
        decoders.Replace("\u2581", " "),
        decoders.ByteFallback(),
        decoders.Fuse(),
        decoders.Strip(content=" ", left=1),
    ]
)
llama_norm = lambda: N.Sequence([N.Prepend("\u2581"), N.Replace(" ", "\u2581")])


def llama2(**k):
    t = sp(llama_norm(), None, llama_dec(), **k)
    t.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return t


L["llama2"] = llama2
L["mixtral"] = lambda: llama2(added=[A("tool", False, normalized=True, lstrip=True, rstrip=True)])
L["mistral_first"] = lambda: sp(
    None or N.NFC(),
    P.Metaspace(replacement="\u2581", prepend_scheme="first", split=False),
    llama_dec(),
)
L["metaspace"] = lambda: sp(
    N.NFKC(),
    P.Metaspace(replacement="\u2581", prepend_scheme="always"),
    decoders.Metaspace(replacement="\u2581", prepend_scheme="always"),
)
L["gemma"] = lambda: sp(
    N.Replace(" ", "\u2581"),
    P.Split(" ", "merged_with_previous"),
    decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]),
)
L["unk"] = lambda: sp(llama_norm(), None, llama_dec(), fallback=False)


def nofuse():
    t = sp(llama_norm(), P.Whitespace(), llama_dec(), fallback=False)
    j = json.loads(t.to_str())
    j["model"]["fuse_unk"] = False
    return Tokenizer.from_str(json.dumps(j))


L["nofuse"] = nofuse
L["falcon"] = lambda: byte_level(
    P.Sequence(
        [
            P.Punctuation("contiguous"),
            bl(use_regex=True),
            P.Digits(individual_digits=False),
            P.Split(Regex("[0-9][0-9][0-9]"), "isolated"),
        ]
    ),
    unk_token="<|endoftext|>",
)
for b in ["isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous"]:
    for inv in [False, True]:
        L["split_%s_%d" % (b, inv)] = (
            lambda b, inv: lambda: byte_level(
                P.Sequence([P.Split(Regex(r"\s|[aeiou]"), b, inv), bl(use_regex=False)])
            )
        )(b, inv)
L["empty"] = lambda: byte_level(
    P.Sequence([P.Split(Regex(r"x*"), "isolated"), bl(use_regex=False)])
)
L["string"] = lambda: byte_level(
    P.Sequence(
        [
            P.Split("...", "merged_with_next"),
            P.Punctuation(),
            P.WhitespaceSplit(),
            bl(use_regex=False),
        ]
    )
)
L["whitespace"] = lambda: byte_level(
    P.Sequence([P.Whitespace(), P.CharDelimiterSplit("e"), bl(use_regex=False)])
)
L["nfd"] = lambda: byte_level(
    bl(use_regex=True), N.NFD(), added=[A("caf\u00e9", False, normalized=True)]
)
L["nfkd_lower"] = lambda: byte_level(
    bl(use_regex=True),
    N.Sequence([N.NFKD(), N.Lowercase(), N.Strip()]),
    added=[A("TOOL", False, normalized=True), A("A", False, normalized=False, single_word=True)],
)
L["replace_re"] = lambda: byte_level(
    bl(use_regex=True),
    N.Replace(Regex(r"\s+"), " "),
    added=[A("the", False, normalized=True, rstrip=True), A(" ", False, normalized=True)],
)
L["strips"] = lambda: byte_level(
    bl(use_regex=True),
    added=[
        A("<think>", False, normalized=False, lstrip=True, rstrip=True),
        A("<|im_end|>", True, rstrip=True),
        A("  ", False, normalized=False),
        A("A", False, single_word=True, lstrip=True),
        A("the", False, normalized=False, single_word=True),
    ],
)
L["no_regex"] = lambda: byte_level(bl(use_regex=False))
L["lines"] = lambda: byte_level(
    P.Sequence(
        [
            P.Split(Regex(r"^\w+|\w+$"), "isolated"),
            P.Split(Regex(r"(?i)the|[\w]+\s*(?=\d)"), "isolated"),
            bl(use_regex=False),
        ]
    )
)

GOLDEN = [
    "neox",
    "roberta",
    "qwen",
    "llama3",
    "deepseek",
    "deepseek3",
    "smollm",
    "llama2",
    "mixtral",
    "mistral_first",
    "metaspace",
    "gemma",
    "unk",
    "falcon",
    "strips",
    "nfkd_lower",
    "replace_re",
    "split_merged_with_next_0",
    "split_merged_with_previous_1",
    "split_contiguous_0",
    "split_removed_1",
    "empty",
    "whitespace",
]


def results(t, strings):
    ids = [t.encode(s, add_special_tokens=False).ids for s in strings]
    return {
        "ids": ids,
        "special": [t.encode(s).ids for s in strings],
        "decoded": [t.decode(i, skip_special_tokens=False) for i in ids],
    }


def write(path, value):
    with open(path, "w") as f:
        json.dump(value, f, ensure_ascii=False, separators=(",", ":"))


def main():
    folder = sys.argv[-1] if small else sys.argv[1]
    count = 24 if small else int(sys.argv[2]) if len(sys.argv) > 2 else 2000
    strings = [text(rng.randrange(1, 9 if small else 14)) for _ in range(count)]
    golden = {"strings": strings, "layouts": {}}
    for name in GOLDEN if small else L:
        write(f"{folder}/{name}.json", json.loads(L[name]().to_str()))
        got = results(Tokenizer.from_file(f"{folder}/{name}.json"), strings)
        if small:
            golden["layouts"][name] = got
        else:
            write(f"{folder}/{name}.ids.json", {"strings": strings, **got})
    if small:
        write(f"{folder}/golden.json", golden)


main()

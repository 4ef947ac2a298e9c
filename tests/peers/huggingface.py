#!/usr/bin/env python3
"""Folders that Switchyard exported, loaded by Hugging Face's transformers.

    huggingface.py FOLDER     for each NAME/ there: logits (NAME.npy) of NAME.ids.npy within 2e-5 of ours (relative to
                              the largest), every tensor found its place, and AutoTokenizer's ids of text.txt
                              those of NAME.tok; for each NAME/ without NAME.npy: it is not loaded

Prints "NAME: ok" or "NAME: what is wrong".  Exit status 77 where transformers, torch or numpy is missing."""
import os
import sys
import warnings

warnings.simplefilter("ignore")
try:
    import numpy as np
    import torch
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError:
    sys.exit(77)
transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()


def check_model(path, base):
    model, info = AutoModelForCausalLM.from_pretrained(
        path, dtype=torch.float32, output_loading_info=True, attn_implementation="eager")
    left = {k: v for k, v in info.items() if v}
    if left:
        return f"tensors without a place: {left}"
    ids, ours = np.load(base + ".ids.npy"), np.load(base + ".npy")
    with torch.no_grad():
        theirs = model(torch.tensor(ids[None].astype(np.int64))).logits[0].numpy()
    difference = np.abs(theirs - ours).max() / np.abs(theirs).max()
    return None if difference < 2e-5 else f"logits differ by {difference:.3g}"


def check_tokenizer(path, base, text):
    tok = AutoTokenizer.from_pretrained(path)
    with open(base + ".tok", encoding="utf-8") as f:
        ours = [int(i) for i in f.read().split()]
    theirs = tok.encode(text, add_special_tokens=False)
    return None if theirs == ours else f"ids {theirs}, ours {ours}"


def check(folder, name, text):
    path, base = os.path.join(folder, name), os.path.join(folder, name)
    if os.path.exists(base + ".npy"):
        return check_model(path, base) or check_tokenizer(path, base, text)
    try:
        AutoModelForCausalLM.from_pretrained(path)
    except ValueError as e:
        return None if "switchyard" in str(e) else str(e)
    return "it is loaded as something else"


def main():
    folder = sys.argv[1]
    with open(os.path.join(folder, "text.txt"), encoding="utf-8", newline="") as f:
        text = f.read()
    for name in sorted(os.listdir(folder)):
        if os.path.isdir(os.path.join(folder, name)):
            print(f"{name}: {check(folder, name, text) or 'ok'}".replace("\n", " "), flush=True)


main()

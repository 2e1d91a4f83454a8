"""The texts of the pretraining benchmark: documents out of a folder of raw files, cleaned, tokenised and cut into shards."""
import collections
import json
import math
import subprocess

FILES = ["en/tinyshakespeare.txt", "en/gutenberg_moby_dick.txt", "en/gutenberg_pride_and_prejudice.txt", "zh/novel_hongloumeng.txt",
         "zh/novel_sanguoyanyi.txt", "zh/web_reviews_pos.txt", "zh/web_reviews_neg.txt", "zh/textbook_d2l.jsonl",
         "zh/web_tech_pages.jsonl", "zh/classical_modern_pairs.jsonl"]
VOCABULARY = 4096
VALIDATION_EVERY = 40  # one document in so many is held out

# Verse and dialogue: lines of a play are short and end without a full stop, so FineWeb's rules for lines are off.
CLEAN = """
clean:
  inputs: [{path: OUT/raw.jsonl}]
  output: OUT/clean.jsonl
  english_rules: {min_line_end_punctuation: null, max_short_lines: null, max_repeated_line_chars: null, max_newline_word_ratio: null}
"""


def text_of(record):
    return record["text"] if "text" in record else record["classical"] + "\n" + record["modern"]


def documents(folder):
    """Pieces of about 2,000 characters, cut at line ends."""
    for name in FILES:
        text = (folder / name).read_text(encoding="utf-8")
        if name.endswith(".jsonl"):
            text = "\n".join(text_of(json.loads(line)) for line in text.splitlines())
        piece = ""
        for line in text.split("\n"):
            piece += line + "\n"
            if len(piece) >= 2000:
                yield name, piece
                piece = ""


def prepare(athanor, folder, out):
    """OUT receives tokenizer.json, train-00000.h5, validation-00000.h5, counting.json and sample.jsonl, and beside them
    the files on the way there."""
    def run(*command):
        subprocess.run([athanor, *map(str, command)], check=True)

    out.mkdir(parents=True, exist_ok=True)
    with open(out / "raw.jsonl", "w") as raw:
        for name, text in documents(folder):
            raw.write(json.dumps({"text": text, "source": name}, ensure_ascii=False) + "\n")
    (out / "clean.yaml").write_text(CLEAN.replace("OUT", str(out)))
    run("clean", out / "clean.yaml")
    kept = (out / "clean.jsonl").read_text().splitlines()
    held_out = lambda number: number % VALIDATION_EVERY == 0
    for part, chosen in (("train", lambda i: not held_out(i)), ("validation", held_out)):
        (out / f"{part}.jsonl").write_text("".join(line + "\n" for i, line in enumerate(kept) if chosen(i)))
    run("tokenizer", "train", "--input", out / "train.jsonl", "--vocab-size", VOCABULARY, "--output", out / "tokenizer.json")
    for part in ("train", "validation"):
        run("shards", "build", "--input", out / f"{part}.jsonl", "--tokenizer", out / "tokenizer.json", "--output", out / f"{part}-00000.h5")
        run("tokenizer", "encode", "--tokenizer", out / "tokenizer.json", "--input", out / f"{part}.jsonl", "--output",
            out / f"{part}.ids.jsonl")
    every_so_many = (out / "validation.jsonl").read_text().splitlines()[::8][:12]
    with open(out / "sample.jsonl", "w") as sample:
        for line in every_so_many:
            sample.write(json.dumps({"text": json.loads(line)["text"][:600]}, ensure_ascii=False) + "\n")
    (out / "counting.json").write_text(json.dumps(counting_models(ids(out, "train"), ids(out, "validation"))) + "\n")


def ids(out, part):
    return [json.loads(line)["ids"] for line in open(out / f"{part}.ids.jsonl")]


def counting_models(train, validation):
    """Cross-entropy (nats per token) on the validation documents: add-one unigram, and a bigram interpolated with it
    (Witten and Bell, 1991)."""
    unigram, pairs, followers = collections.Counter(), collections.Counter(), collections.Counter()
    context = collections.Counter()
    for document in train:
        unigram.update(document)
        pairs.update(zip(document, document[1:]))
    for (first, _), count in pairs.items():
        context[first] += count
        followers[first] += 1
    total = sum(unigram.values())
    loss1 = loss2 = count = 0
    for document in validation:
        for first, second in zip(document, document[1:]):
            p1 = (unigram[second] + 1) / (total + VOCABULARY)
            kinds = followers[first]
            p2 = (pairs[first, second] + kinds * p1) / (context[first] + kinds) if kinds else p1
            loss1 -= math.log(p1)
            loss2 -= math.log(p2)
            count += 1
    return {"unigram": loss1 / count, "bigram": loss2 / count, "train_tokens": total, "validation_tokens": count,
            "vocabulary": VOCABULARY}

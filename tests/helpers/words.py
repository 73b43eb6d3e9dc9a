"""A tokenizer without files."""


class Words:
    """A tokenizer that numbers words."""

    pad_token_id, model_max_length = 0, 512

    def __call__(self, texts, seconds=None, *, truncation=True, max_length=512, verbose=True):
        joined = texts if seconds is None else [f"{a} {b}" for a, b in zip(texts, seconds, strict=True)]
        ids = [[1 + sum(map(ord, word)) % 97 for word in text.split()][:max_length] for text in joined]
        return {"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]}

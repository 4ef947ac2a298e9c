-- Tokenizers and datasets as scripts see them.  TAP.

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is, refuses = tap.ok, tap.is, tap.refuses

local folder = tap.folder "files"
tap.folder "files/sub"
local function write(name, text) return tap.write(folder .. "/" .. name, text) end

-- ---- tokenizers ----

local bytes = tokenizer.bytes()
is(bytes.size, 256, "bytes: 256 ids")
is(bytes.kind, "bytes", "bytes: its kind")
is(table.concat(bytes:encode "a\0\xff", " "), "97 0 255", "bytes: ids are the bytes")
is(bytes:decode {97, 0, 255}, "a\0\xff", "bytes: and back")
is(bytes:decode(tensor({104, 105}, {dtype = "i32"})), "hi", "decode takes a tensor")
is(bytes:decode {}, "", "decode of nothing")
is(#bytes:encode "", 0, "encode of nothing")
is(tostring(bytes), "tokenizer: bytes, 256 ids", "tostring")
ok(bytes == tokenizer.bytes(), "equal tokenizers are equal")
is(bytes.eot, nil, "bytes have no end-of-text")
refuses(function() bytes:decode {256} end, "an id too large", "256")
refuses(function() bytes:decode {-1} end, "an id too small", "-1")
refuses(function() bytes:decode {1, "x"} end, "an id of another type", "id 2", "'x'")
refuses(function() bytes:decode {1.5} end, "an id with a fraction", "whole number")
refuses(function() bytes:encode(nil) end, "encode of nil", "takes a text")
refuses(function() return bytes.sise end, "an unknown field", "'sise'", "'size'")
refuses(function() bytes.size = 3 end, "fields cannot be set")

local licence = ("The licenses for most software are designed to take away your freedom. "):rep(60)
  .. "été\n"
local corpus = write("one.txt", licence)
local bpe = tokenizer.train_bpe(corpus, {vocab = 300})
is(bpe.kind, "bpe", "train_bpe: its kind")
ok(bpe.size > 257 and bpe.size <= 300, "train_bpe: at most the ids asked for")
is(bpe:decode(bpe:encode(licence)), licence, "decode(encode(s)) is s")
ok(#bpe:encode(licence) < #licence / 3, "merges shorten the text")
is(bpe:token(97), "a", "token gives its bytes")
is(bpe.eot, bpe.size - 1, "end-of-text is the last id")
ok(bpe == tokenizer.train_bpe({corpus}, {vocab = 300}), "of a list of files: the same tokenizer")
refuses(function() tokenizer.train_bpe(corpus, {vocab = 3}) end, "vocab is checked", "vocab", "257")
refuses(function() tokenizer.train_bpe(corpus, {vocal = 300}) end, "options are checked",
  "'vocal'", "'vocab'")
refuses(function() tokenizer.train_bpe(corpus, {pattern = "gpt-9"}) end,
  "patterns are checked", "gpt-9")
refuses(function() tokenizer.train_bpe(7) end, "paths are checked", "path")

local saved = folder .. "/tokenizer.json"
is(bpe:save(saved), true, "save")
local again = tokenizer.load(saved)
ok(again == bpe, "what was saved is loaded")
is(table.concat(again:encode(licence), " "), table.concat(bpe:encode(licence), " "),
  "and gives the same ids")
ok(tokenizer.load(folder) == bpe, "load takes a folder")
local none, why, code = tokenizer.load(folder .. "/absent.json")
ok(none == nil and code == "NOTFOUND" and why:find "absent.json",
  "what is not there: nil, message, code")
write("broken.json", "{\"model\":")
none, why, code = tokenizer.load(folder .. "/broken.json")
ok(none == nil and code == "FORMAT", "what is no tokenizer: nil, message, code")
none, why, code = tokenizer.train_bpe(folder .. "/absent")
ok(none == nil and code == "NOTFOUND", "training on what is not there: nil, message, code")
none, why, code = bpe:save(folder .. "/absent/x.json")
ok(none == nil and (code == "NOTFOUND" or code == "IO"),
  "saving where nothing can be: nil, message, code")

-- ---- text ----

local d = data.text(corpus, {val = 0.25})
is(d.tokens, #licence, "data.text: a token a byte")
is(d.train.tokens, math.floor(#licence * 0.75), "data.text: the share for training")
is(d.val.tokens, d.tokens - d.train.tokens, "data.text: the rest is for validation")
is(tostring(d.val), ("data: the validation part of %d tokens: %d"):format(d.tokens, d.val.tokens),
  "a part prints as one")
is(d.vocab, 256, "data.text: V of the tokenizer")
is(d.documents, 1, "data.text: one file, one document")
is(d.domains, 0, "text has no domains")
is(d.entropy, nil, "text has no known entropy")
ok(d.tokenizer == bytes, "its tokenizer")
is(#d.hash, 16, "its hash")
ok(licence:find(d:sample(50), 1, true), "sample is a piece of the text")
is(#d:sample(50), 50, "of so many tokens")
is(d:sample(50, {seed = 3}), d:sample(50, {seed = 3}), "a seed gives the same piece")
ok(d:sample(50) ~= d:sample(50), "without one it is another piece")
is(#d:sample(), 200, "n may be left out")
ok(licence:sub(d.train.tokens + 1):find(d.val:sample(50), 1, true),
  "a piece of the validation text")
is(bytes:decode(d:ids(1, 3)), "The", "ids")
is(bytes:decode(d.val:ids(1, 5)), licence:sub(d.train.tokens + 1, d.train.tokens + 5),
  "ids of the validation text")
is(d:document(1).source, corpus, "a document knows its file")
ok(tostring(d):find("^data: " .. #licence .. " tokens"), "tostring has the tokens")
is(data.text(corpus, {tokenizer = bpe}).tokens, #bpe:encode(licence), "with a tokenizer")
is(data.string(licence, {val = 0}).val.tokens, 0, "data.string, and no validation")
is(data.string(licence).hash, d.hash, "equal bytes have equal hashes")
refuses(function() data.text(corpus, {vall = 0.1}) end, "unknown options", "'vall'", "'val'")
refuses(function() data.text(corpus, {val = 1}) end, "val must be less than 1", "val")
refuses(function() data.text(corpus, {tokenizer = 5}) end, "tokenizer must be one", "tokenizer")
refuses(function() data.text() end, "a path is needed", "path")
refuses(function() data.text {} end, "an empty list", "0")
refuses(function() data.text {1} end, "paths are strings", "path 1")
refuses(function() d:sample(0) end, "sample of nothing", "n must be")
refuses(function() d:ids(0, 1) end, "tokens count from 1", "first")
refuses(function() return d.tokns end, "an unknown field", "'tokens'")

write("sub/a.txt", "first document\n")
write("sub/b.jsonl", '{"text": "second"}\n{"text": "third", "body": "other"}\n')
local many = data.text(folder .. "/sub", {val = 0})
is(many.documents, 3, "a folder: files and lines")
is(many:document(3).line, 2, "a line knows its number")
is(data.text({folder .. "/sub/a.txt", corpus}).documents, 2, "a list")
is(data.text(folder .. "/*.txt").documents, 1, "a pattern")
none, why, code = data.text(folder .. "/sub/b.jsonl", {field = "body"})
ok(none == nil and code == "FORMAT" and why:find "b.jsonl",
  "a line without the field: nil, message, code")
none, why, code = data.text(folder .. "/absent.txt")
ok(none == nil and code == "NOTFOUND" and why:find "absent.txt", "no file: nil, message, code")

-- ---- what files are read as ----

local lines = '{"text": "one"}\n{"text": "two"}\n'
for _, name in ipairs {"l.ndjson", "l.JSONL", "l.json"} do
  local l = data.text(write(name, lines), {val = 0})
  ok(l and l.documents == 2 and l.reading == "1 file as JSON lines, field 'text'",
    name .. " is JSON lines")
end
local l = data.text(write("mark.jsonl", "\xEF\xBB\xBF" .. lines), {val = 0})
is(l and l.documents, 2, "after a byte-order mark, too")
is(data.text(write("mark.txt", "\xEF\xBB\xBFtext"), {val = 0}).tokens, 4, "which is no text")
l = data.text(write("python.jsonl",
  '{"text": "one", "score": NaN}\n{"text": "two", "score": -Infinity}\n'), {val = 0})
is(l and l.documents, 2, "NaN and Infinity, as Python writes them")
write("bad.jsonl",
  '{"text": "one"}\n{"text": "two"\n{"text": "a", "text": "b"}\n{"text": "three"}\n')
none, why, code = data.text(folder .. "/bad.jsonl")
ok(none == nil and code == "FORMAT" and why:find("bad.jsonl: line 2: not JSON", 1, true),
  "a bad line is named: " .. tostring(why))
l = data.text(folder .. "/bad.jsonl", {val = 0, on_error = "skip"})
ok(l and l.documents == 2 and l.reading:find("2 bad lines passed over", 1, true),
  "or passed over, and counted: " .. tostring(l and l.reading))
refuses(function() data.text(folder .. "/bad.jsonl", {on_error = "ignore"}) end,
  "on_error is checked", "'ignore'", "stop, skip")
none, why, code = data.text(write("x.npz", "PK\3\4" .. ("\0"):rep(60)))
ok(none == nil and code == "FORMAT" and why:find("x.npz is a zip archive", 1, true),
  "what is no text is named: " .. tostring(why))
none, why = data.text(write("ids.npy", "\x93NUMPY\1\0" .. ("\0"):rep(60)))
ok(none == nil and why:find("data.shards", 1, true), "and what reads it: " .. tostring(why))
refuses(function() data.text(corpus, {field = "body"}) end, "a field of what is no JSON",
  "field 'body'", "one.txt")
is(data.text(folder .. "/l.json", {format = "text", val = 0}).tokens, #lines,
  "JSON as text, when asked for")
refuses(function() data.text(corpus, {format = "jsom"}) end, "formats are checked", "'json'")
local packed = write("z.gz", "\31\139\8\0\0\0\0\0\2\3\75\76\76\4\0\45\115\7\240\3\0\0\0") -- "aaa"
none, why = data.text(packed, {unpack_max = 2})
ok(none == nil and tostring(why):find("more than the 2 B that are allowed", 1, true),
  "packed files have a bound: " .. tostring(why))
is(tokenizer.train_bpe(folder .. "/bad.jsonl", {vocab = 300, on_error = "skip"}).kind, "bpe",
  "train_bpe reads the same way")
none, why = tokenizer.train_bpe(folder .. "/x.npz", {vocab = 300})
ok(none == nil and why:find("zip archive", 1, true), "and refuses the same")

-- ---- other files for validation ----

local apart = data.text {train = {corpus}, val = folder .. "/sub/*.txt", tokenizer = bpe}
ok(apart and apart.val:sample(2, {seed = 1}) and apart.documents == 2, "data.text{train=, val=}")
is(apart and bpe:decode(apart.val:ids()), "first document\n", "validation is of the other file")
is(data.text({train = corpus, val = 0.25}).train.tokens, d.train.tokens,
  "val may be a share there, too")
refuses(function() data.text {train = corpus, val = corpus} end, "a file on both sides",
  "one.txt", "training")
refuses(function() data.text {val = corpus} end, "val without train", "train =")
refuses(function() data.text({train = corpus, val = 0.1}, {val = 0.1}) end, "options in two tables",
  "same table")
refuses(function() data.text {train = corpus, val = 0.1, vall = 2} end,
  "options there are checked", "'vall'")
refuses(function() data.text {train = corpus, val = {1}} end, "paths there are checked", "path 1")

-- ---- synthetic text, shards ----

local s = data.synthetic {domains = 3, tokens = 1e4, states = 8, branch = 2, seed = 5}
is(s.tokens, 10000, "synthetic: tokens")
is(s.vocab, 24, "synthetic: V = domains * states")
is(s.domains, 3, "synthetic: domains")
ok(s.entropy > 0 and s.entropy < math.log(2) + 1e-9, "synthetic: entropy is at most log(branch)")
ok(s:domain_entropy(3) > 0, "synthetic: the entropy of each domain")
ok(s:document(1).domain >= 1 and s:document(1).domain <= 3, "synthetic: domains count from 1")
is(s.hash, data.synthetic {domains = 3, tokens = 1e4, states = 8, branch = 2, seed = 5}.hash,
  "a seed, a text")
ok(s.hash ~= data.synthetic {domains = 3, tokens = 1e4, states = 8, branch = 2, seed = 6}.hash,
  "another seed, another text")
is(#s:sample(4, {seed = 1}), 4, "ids where there is no tokenizer")
is(s.tokenizer, nil, "no tokenizer")
refuses(function() data.synthetic {domains = 0} end, "domains are checked", "domains")
refuses(function() data.synthetic {tokens = 1e12} end, "what cannot fit is refused first")

local shard = write("tokens.bin", string.pack("<I2I2I2I2", 1, 2, 3, 9))
local t = data.shards(shard, {vocab = 10, val = 0})
is(table.concat(t:ids():table(), " "), "1 2 3 9", "shards: nanoGPT's ids")
is(t.vocab, 10, "shards: V")
none, why, code = data.shards(shard, {vocab = 9})
ok(none == nil and code == "FORMAT", "an id that is too large: nil, message, code")

local function array(name, descr, data)
  local dict = ("{'descr': '%s', 'fortran_order': False, 'shape': (4,), }\n"):format(descr)
  return write(name, "\x93NUMPY\1\0" .. ("<s2"):pack(dict) .. data)
end
for _, row in ipairs {{"<u2", "<I2I2I2I2"}, {"<u4", "<I4I4I4I4"}, {"<i4", "<i4i4i4i4"},
                      {"<i8", "<i8i8i8i8"}} do
  t = data.shards(array("ids.npy", row[1], row[2]:pack(1, 2, 3, 9)), {val = 0})
  ok(t and table.concat(t:ids():table(), " ") == "1 2 3 9" and t.vocab == 10,
    "shards: an .npy of " .. row[1])
end
none, why = data.shards(folder .. "/x.npz", {vocab = 60000})
ok(none == nil and why:find("x.npz is a zip archive", 1, true),
  "shards: an archive is no token file: " .. tostring(why))
none, why = data.shards(write("tokens.raw", string.pack("<I2I2I2I2", 1, 2, 3, 9)), {vocab = 10})
ok(none == nil and why:find("not a token file", 1, true), "shards: nor is an unknown file")
t = data.shards(folder .. "/tokens.raw", {vocab = 10, val = 0, format = "u16"})
is(t and t.tokens, 4, "shards: but for one who says what it is")
t = data.shards {train = shard, val = folder .. "/ids.npy", vocab = 10}
ok(t and t.train.tokens == 4 and t.val.tokens == 4, "shards: other files for validation")

-- ---- what holds them ----

local closed
do
  local d2 <close> = data.string "abc"
  closed = d2
end
refuses(function() return closed.tokens end, "a closed data set")
refuses(function() d.sample(bytes) end, "a method of another object", "data set")
d, many, s, t = nil, nil, nil, nil
collectgarbage()
collectgarbage()
local docs = {}
for _, row in ipairs(require("switchyard.engine").docs()) do docs[row.name] = row end
for _, name in ipairs {"data.text", "data.string", "data.synthetic", "data.shards", "data:sample",
    "data:ids", "data:document", "tokenizer.bytes", "tokenizer.train_bpe", "tokenizer.load",
    "tokenizer:encode", "tokenizer:decode", "tokenizer:token", "tokenizer:save"} do
  ok(docs[name] and #docs[name].text > 10, "docs: " .. name)
  if docs[name] and docs[name].example then
    local f, e = load(docs[name].example)
    if not f then f, e = load("return " .. docs[name].example) end
    ok(f and pcall(f), "docs: the example of " .. name .. " runs")
  end
end

tap.done()

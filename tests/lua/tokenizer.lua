-- tokenizer.json of every layout against the ids that Hugging Face's tokenizers gave
-- (tests/tokenizers, made by tests/peers/layouts.py), and what scripts see: options, long runs,
-- limits, files saved as they were.  TAP.

local engine = require "switchyard.engine"
local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is, refuses = tap.ok, tap.is, tap.refuses

local place = os.getenv "srcdir" .. "/tests/tokenizers/"
local folder = tap.folder "files"

local read = tap.read
local function write(name, text) return tap.write(folder .. "/" .. name, text) end

-- Put in place of a plain text, once.
local function replaced(text, old, new)
  local from, to = text:find(old, 1, true)
  assert(from, old)
  return text:sub(1, from - 1) .. new .. text:sub(to + 1)
end

-- ---- ids of the library ----

local golden = engine.json(read(place .. "golden.json"))
local names = {}
for name in pairs(golden.layouts) do names[#names + 1] = name end
table.sort(names)
ok(#names >= 20, "there are golden ids of many layouts")

local function compare(tok, want)
  for i, s in ipairs(golden.strings) do
    local function differs(what, got, wanted)
      return got ~= wanted and ("%s of %q: %s, want %s"):format(what, s, got, wanted) or nil
    end
    local e = differs("ids", table.concat(tok:encode(s), " "), table.concat(want.ids[i], " "))
      or differs("ids around", table.concat(tok:encode(s, {special = true}), " "),
        table.concat(want.special[i], " "))
      or differs("text", tok:decode(want.ids[i]), want.decoded[i])
    if e then return e end
  end
end

for _, name in ipairs(names) do
  local tok, why = tokenizer.load(place .. name .. ".json")
  local e = tok and compare(tok, golden.layouts[name]) or why
  ok(not e, name .. ": ids and texts of the tokenizers library", e)
  if tok then
    assert(tok:save(folder .. "/again.json"))
    ok(read(folder .. "/again.json") == read(place .. name .. ".json"), name .. ": saved as it was")
    ok(tokenizer.load(folder .. "/again.json") == tok, name .. ": and is equal")
  end
end

-- ---- options ----

local llama = assert(tokenizer.load(place .. "llama2.json"))
is(llama:decode(llama:encode "the cat"), "the cat", "the space before a text is taken away")
is(llama:decode(llama:encode "the cat", {continued = true}), " the cat", "but not where ids go on")
is(llama:encode("the", {special = true})[1], llama.bos, "special=true puts the first token")
refuses(function() llama:encode("the", {specials = true}) end, "an unknown option", "specials")

local qwen = assert(tokenizer.load(place .. "qwen.json"))
local other = tokenizer.load(write("other.json",
  replaced(read(place .. "qwen.json"), '"NFC"', '"NFD"')))
ok(other ~= qwen, "another normalizer makes another tokenizer")
ok(tokenizer.load(place .. "deepseek.json") ~= tokenizer.load(place .. "deepseek3.json"),
  "and other stages do")

-- Runs recorded before added tokens were looked for have such tokenizers.
local bare = assert(engine.tokenizer_load_bare(place .. "qwen.json"))
ok(engine.tokenizer_is_bare(bare) and not engine.tokenizer_is_bare(qwen),
  "a bare tokenizer says so")
ok(#bare:encode "<|im_start|>" > 1 and #qwen:encode "<|im_start|>" == 1,
  "and finds no added tokens in text")
is(bare:decode(bare:encode "e\u{301}"), "e\u{301}", "nor changes it")

-- A run says that its tokenizer found them; where it does not say so, its data has the ids of then.
local directory = require "switchyard.run.directory"
local d = data.string(("<think>the cat</think> sat. "):rep(40), {tokenizer = qwen})
local r = train(model.moe {layers = 1, dim = 16, heads = 2, context = 16, experts = 2, top_k = 1,
  expert_dim = 16, vocab = qwen}, d, {steps = 2, batch = 1, eval_every = 0, name = "matched"})
r:wait()
local config = engine.json(directory.config_text(r))
ok(config.tokenizer.model.matched == true and config.tokenizer.data.matched == true,
  "a run says that added tokens were matched")
is(directory.data("test", engine.runs_dir() .. "/matched", config).tokens, d.tokens,
  "its data again: the same tokens")
config.tokenizer.data.matched, config.tokenizer.model.matched = nil, nil
local older = directory.data("test", engine.runs_dir() .. "/matched", config)
ok(older.tokens > d.tokens and engine.tokenizer_is_bare(older.tokenizer),
  "an older run's: as it was then")
ok(engine.tokenizer_is_bare(directory.model("test", engine.runs_dir() .. "/matched",
  config).tokenizer), "and its model's tokenizer")

-- ---- long runs ----

local corpus = write("corpus.txt", ("The licenses for most software, x = 1.\n"):rep(40))
for _, pattern in ipairs {"qwen2", "gpt-2", "llama-bpe", "gpt-4o"} do
  local tok = assert(tokenizer.train_bpe(corpus, {vocab = 300, pattern = pattern}))
  for _, c in ipairs {" ", "\n", "a", "1", "=", "\t", "\u{301}", "\xff"} do
    local s = c:rep(1000000 // #c)
    local fine, ids = pcall(tok.encode, tok, s)
    ok(fine and tok:decode(ids) == s, ("%s: a megabyte of %q"):format(pattern, c), not fine and ids)
  end
end
for _, name in ipairs {"deepseek", "llama2", "metaspace", "gemma", "strips"} do
  local tok = tokenizer.load(place .. name .. ".json")
  ok(pcall(tok.encode, tok, (" "):rep(1000000)), name .. ": a megabyte of spaces")
end

local chinese = ("\u{4f60}\u{597d}"):rep(30000) .. "e\u{301}" .. ("\u{304b}\u{3099}"):rep(30000)
is(qwen:decode(qwen:encode(chinese)), ("\u{4f60}\u{597d}"):rep(30000) .. "\u{e9}"
  .. ("\u{304c}"):rep(30000), "a long text to NFC")

-- ---- limits ----

local base = read(place .. "deepseek3.json") -- Splits are in a Sequence there
local function with_pattern(regex)
  return tokenizer.load(write("pattern.json", replaced(base, '"Regex":"\\\\p{N}{1,3}"',
    '"Regex":"' .. regex .. '"')))
end
local slow = assert(with_pattern "(a+)+$|[^a]+")
local bad = ("a"):rep(60) .. "!"
refuses(function() slow:encode("one\ntwo\n" .. bad) end, "a pattern gives up: where",
  "encode: at byte 8: ", "limit")
local lines = write("bad.txt", "one\ntwo\n" .. bad .. "\n")
local none, why, code = data.text(lines, {tokenizer = slow})
ok(none == nil and code == "FORMAT" and why:find("bad.txt: line 3: ", 1, true) and why:find "limit",
  "in a file: its line", why)
lines = write("bad.jsonl", '{"text": "one"}\n{"text": "' .. bad .. '"}\n')
none, why, code = data.text(lines, {tokenizer = slow})
ok(none == nil and why:find("bad.jsonl: line 2: ", 1, true), "in JSON lines: theirs", why)

for regex, what in tap.sorted {["\\\\bx"] = "\\b", ["(?<n>x)"] = "group", ["[a[b]]"] = "class",
                               ["x{1,2}+"] = "{n,m}+"} do
  none, why, code = with_pattern(regex)
  ok(none == nil and code == "UNSUPPORTED" and why:find(what, 1, true) and why:find("pattern.json",
    1, true), "a pattern that PCRE2 reads otherwise: " .. regex, why)
end

-- ---- refused by name ----

local function refused(old, new, ...)
  local tok, message, kind = tokenizer.load(write("refused.json",
    replaced(read(place .. "llama2.json"), old, new)))
  local good = tok == nil and kind ~= "MEMORY"
  for _, word in ipairs {...} do good = good and message:find(word, 1, true) ~= nil end
  ok(good, new, message)
end
refused('"type":"BPE"', '"type":"Unigram"', "refused.json", "model Unigram")
refused('"dropout":null', '"dropout":0.1', "dropout")
refused('"end_of_word_suffix":null', '"end_of_word_suffix":"</w>"', "end_of_word_suffix")
refused('"type":"Prepend"', '"type":"Precompiled"', "normalizer Precompiled")
refused('"type":"Fuse"', '"type":"CTC"', "decoder CTC")
refused('"type":"TemplateProcessing"', '"type":"Other"', "post-processor Other")
refused('"unk_token":"<unk>"', '"unk_token":"[UNK]"', "unk_token", "[UNK]")

tap.done()

-- Special tokens of tokenizers: their ids, their names in other families, which texts give them,
-- files and runs with them, what is refused.  TAP.

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is, refuses = tap.ok, tap.is, tap.refuses

local folder = tap.folder "files"
local path = tap.write(folder .. "/text",
  ("to be or not to be, that is the question\n"):rep(50))

-- ---- without them nothing is other than before ----

is(tokenizer.bytes().hash, "1b15b157418722f9", "the hash of bytes is as ever")
is(tokenizer.train_bpe(path, {vocab = 280}).hash, "07afb29497e53fad", "and of a trained tokenizer")
ok(tokenizer.bytes{} == tokenizer.bytes(), "no special token is asked for, none is there")
is(tokenizer.bytes():special "<pad>", nil, "bytes have no <pad>")
is(tokenizer.bytes():special "<|endoftext|>", nil, "and no end-of-text")

-- ---- ids ----

local t = tokenizer.bytes{sentinels = 100, fim = true, special = {"<2en>", "<2de>"}}
is(t.kind .. " " .. t.size, "bytes 363", "bytes with special tokens")
is(t:special "<extra_id_0>", 362, "the first sentinel is the last id")
is(t:special "<extra_id_99>", 263, "they descend")
is(t:special "<extra_id_100>", nil, "100 of them")
local names = {"<|endoftext|>", "<pad>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
               "<2en>", "<2de>"}
for i, name in ipairs(names) do
  is(t:special(name), 255 + i, name)
  is(t:decode{t:special(name), 65}, name .. "A", "decode shows " .. name)
end
is(t.eot, 256, "end-of-text is known as such")
is(tokenizer.bytes{fim = true}.size, 261, "fim alone: end-of-text, <pad> and three")
is(tokenizer.bytes{pad = true}.size, 258, "pad alone: end-of-text and <pad>")
is(tokenizer.bytes{sentinels = 1}:special "<extra_id_0>", 258, "one sentinel")

local b = tokenizer.train_bpe(path, {vocab = 400, sentinels = 100, fim = true})
is(b:special "<extra_id_0>", b.size - 1, "trained: the last id")
is(b:special "<extra_id_99>", b.size - 100, "trained: sentinels descend")
is(b.eot, b.size - 105, "trained: end-of-text before all others")
is(tokenizer.train_bpe(path, {vocab = 280, sentinels = 4}).size, 280,
  "special tokens are among vocab")

-- ---- which texts give them ----

math.randomseed(7)
local function ordinary()
  local c = {}
  for i = 1, 200 do c[i] = string.char(math.random(0, 255)) end
  local s = table.concat(c)
  return math.random() < .5 and s or s:gsub("[^<>|_a-z]", "_")
end
for _, tok in ipairs{t, b} do
  local given, wrong = 0, 0
  for _ = 1, 300 do
    local s = ordinary()
    local ids = tok:encode(s)
    for _, id in ipairs(ids) do given = given + (id >= tok.eot and 1 or 0) end
    wrong = wrong + (tok:decode(ids) == s and 0 or 1)
  end
  is(given, 0, tok.kind .. ": no ordinary text gives a special token")
  is(wrong, 0, tok.kind .. ": and comes back")
  ok(math.max(table.unpack(tok:encode "<extra_id_7")) < tok.eot, "a part of a name is text")
  is(table.concat(tok:encode "<extra_id_7>x", " "),
    tok:special "<extra_id_7>" .. " " .. tok:encode("x")[1], tok.kind .. ": all of it gives it")
end

-- ---- files ----

for _, tok in ipairs{t, b} do
  assert(tok:save(folder .. "/tokenizer.json"))
  local back = assert(tokenizer.load(folder .. "/tokenizer.json"))
  ok(back == tok and back.kind == tok.kind, tok.kind .. ": written and read it is the same")
  is(back:special "<extra_id_42>", tok:special "<extra_id_42>", tok.kind .. ": its sentinels, too")
end

-- Other families' names.
local text = tap.read(folder .. "/tokenizer.json")
for ours, theirs in tap.sorted{
  ["<|fim_prefix|>"] = "<fim_prefix>", ["<|fim_suffix|>"] = "<｜fim▁hole｜>",
  ["<|fim_middle|>"] = "▁<MID>", ["<pad>"] = "[PAD]", ["<|endoftext|>"] = "</s>",
} do
  local from, to = text:find('"' .. ours .. '"', 1, true)
  tap.write(folder .. "/theirs.json", text:sub(1, from) .. theirs .. text:sub(to))
  local other = assert(tokenizer.load(folder .. "/theirs.json"))
  is(other:special(ours), b:special(ours), ours .. " is found as " .. theirs)
  is(other:special(theirs), b:special(ours), theirs .. " by its own name")
end

-- ---- a run goes on with it ----

local script = tap.write(folder .. "/go.lua", [[
local t = tokenizer.bytes{sentinels = 100, fim = true, special = {"<2en>", "<2de>"}}
local d = data.string(("to be or not to be "):rep(40), {tokenizer = t})
local m = model.dense{layers = 1, dim = 16, heads = 2, context = 16, ffn_dim = 16, vocab = t}
local name, steps = arg[1], tonumber(arg[2])
local r = name == "again" and train.resume("specials", {steps = steps}) or
  train(m, d, {steps = steps, batch = 2, eval_every = 0, name = name, seed = 3, lr = 1e-3,
               schedule = "constant"})
r:wait()
print(r.state, r.step, r:hash(), r.model.tokenizer:special "<extra_id_0>")]])
local whole = tap.child(script .. " whole 6"):match "done\t6\t%x+\t362"
ok(whole, "a run with sentinels")
tap.child(script .. " specials 4")
local again = tap.child(script .. " again 6")
ok(whole and again:find(whole, 1, true), "another process goes on with the same bits", again)

-- ---- what is refused ----

refuses(function() tokenizer.bytes{sentinels = 5000} end, "too many", "5000", "4096")
refuses(function() tokenizer.bytes{sentinels = -1} end, "fewer than none", "-1")
refuses(function() tokenizer.bytes{special = {"a"}} end, "a byte is no name", "'a'", "2 to 256")
refuses(function() tokenizer.bytes{special = {"a\nb"}} end, "nor a control character", "control")
refuses(function() tokenizer.bytes{special = {"\xff\xfe"}} end, "nor what is no UTF-8", "UTF-8")
refuses(function() tokenizer.bytes{special = {"ab\0"}} end, "nor a zero byte", "zero byte")
refuses(function() tokenizer.bytes{special = {"<pad>"}} end, "named twice", "'<pad>'", "twice")
refuses(function() tokenizer.bytes{special = "<pad>"} end, "a name alone", "list of names")
refuses(function() tokenizer.bytes{special = {1}} end, "a number", "special[1]", "number")
refuses(function() tokenizer.bytes{eos = true} end, "an unknown option", "eos", "sentinels")
local function fails(what, options, ...)
  refuses(function() assert(tokenizer.train_bpe(path, options)) end, what, ...)
end
fails("no room among vocab", {vocab = 300, sentinels = 100}, "300", "358", "102 special tokens")
fails("a name that merges give", {vocab = 280, special = {"to"}}, "'to'", "token of the text")

tap.done()

-- m:fill, and generation after a prompt that is seen whole: the tokens are those that whole texts
-- give; what a filling is made of; options; what is refused; models on disk.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local engine = require "switchyard.engine"
local Model = require("switchyard.model.model")._Model

local tok = tokenizer.bytes{sentinels = 100, fim = true}
local text = ("the quick brown fox jumps over the lazy dog and runs away. "):rep(60)
local d = data.string(text, {tokenizer = tok, val = 0.1})

local function make(more, with)
  return model.moe(t.with({layers = 2, dim = 32, heads = 2, context = 64, vocab = with or tok,
                           experts = 4, top_k = 2, expert_dim = 32}, more))
end

local function trained(by, more, steps)
  local m = make(more)
  train(m, d, {objective = by, steps = steps or 30, batch = 4, lr = 3e-3, warmup = 5, save = false,
               eval_every = 0}):wait()
  return m
end

local function special(name) return tok:special(name) end
local EOT, PRE, SUF, MID = tok.eot, special "<|fim_prefix|>", special "<|fim_suffix|>",
  special "<|fim_middle|>"

-- Logits of a whole text whose first `prefix` tokens are seen by all: (T,V).
local function whole(m, ids, prefix)
  local logits
  local p = m:_record({mode = "eval", given = {prefix = true}}, 1, #ids, function(x)
    logits = Model.logits_of(x.result)
  end)
  engine.put(p.fields.tokens, ids)
  if p.fields.prefix then engine.put(p.fields.prefix, {prefix}) end
  local program = engine.program(p.graph, {logits})
  program:run()
  return engine.clone(logits)
end

local function likeliest(row) return (row:argmax(-1)):item() - 1 end

-- What is written after ids, one text after the other as a whole, up to a special token.
local function by_whole(m, ids, n, prefix)
  local out = {}
  for _ = 1, n do
    local id = likeliest(whole(m, ids, prefix)[#ids])
    if id >= 256 then break end
    ids[#ids + 1], out[#out + 1] = id, id
  end
  return tok:decode(out)
end

local function ids_of(...)
  local ids = {}
  for _, x in ipairs {...} do
    if type(x) == "string" then
      for _, id in ipairs(tok:encode(x)) do ids[#ids + 1] = id end
    else ids[#ids + 1] = x end
  end
  return ids
end

-- ---- the space before a blank ----

-- Words of most tokenizers begin with their space: "the ___ fox" is "the", a blank, " fox".
do
  local path = t.write(t.scratch "text", text)
  local words = assert(tokenizer.train_bpe(path, {vocab = 400, sentinels = 20, fim = true}))
  local own = data.string(text, {tokenizer = words, val = 0.1})
  for _, by in ipairs {"span", "fim"} do
    local m = make(nil, words)
    train(m, own, {objective = by, steps = 60, batch = 8, lr = 1e-2, warmup = 5, save = false,
                   eval_every = 0}):wait()
    local got, list = m:fill("the ___ fox jumps over the ___ dog", {tokens = 4})
    local _, bare = m:fill("the___ fox jumps over the___ dog", {tokens = 4})
    t.is(list[1], (bare[1]:gsub("^ ", "")), by .. ": a blank takes the space before it along")
    t.is(got, ("the %s fox jumps over the %s dog"):format(list[1], list[2]),
      "and the text around it stays what it was")
  end
end

-- ---- fim ----

do
  local m = trained{"fim", rate = 1}
  t.is(m.cfg.prefix, nil, "fim: attention stays causal")
  local got, list = m:fill("the ___ fox", {tokens = 9})
  local want = by_whole(m, ids_of(PRE, "the ", SUF, " fox", MID), 9)
  t.is(list[1], want, "fim: the middle is what follows the parts in PSM")
  t.is(got, "the " .. want .. " fox", "and stands in the blank")
  got, list = m:fill("a ___ b ____ c", {tokens = 5})
  local first = by_whole(m, ids_of(PRE, "a ", SUF, " b ", MID), 5)
  local second = by_whole(m, ids_of(PRE, "a " .. first .. " b ", SUF, " c", MID), 5)
  t.is(got, "a " .. first .. " b " .. second .. " c", "one after the other")
  t.is(#list, 2, "and both are told")
  t.is((m:fill("a ___ b ____ c", {tokens = 5})), got, "again the same")
  local draws = {temperature = 2, tokens = 9, top_k = 0}
  local a = m:fill("the ___ fox", draws)
  t.is(a, (m:fill("the ___ fox", draws)), "drawn: equal seeds, equal fillings")
  draws.seed = 2
  t.ok(a ~= m:fill("the ___ fox", draws), "another seed, another one")
  t.is((m:fill("the [] fox", {tokens = 9, blank = "[]"})), "the " .. want .. " fox",
    "another mark of blanks")
  local only = trained({"fim", rate = 1, spm = 1}, nil, 5)
  local _, found = only:fill("the ___ fox", {tokens = 6})
  t.is(found[1], by_whole(only, ids_of(PRE, SUF, " fox", MID, "the "), 6),
    "a model that knows SPM alone is asked so")
end

-- ---- span ----

local S0, S1 = special "<extra_id_0>", special "<extra_id_1>"
do
  local m = trained "span"
  t.is(m.cfg.prefix, true, "span: attention sees the inputs whole")
  local ids = ids_of("the ", S0, " fox ", S1, " over", EOT)
  local k = #ids
  local got, list = m:fill("the ___ fox ___ over", {tokens = 5})
  ids[#ids + 1] = S0
  local first = by_whole(m, ids, 5, k)
  ids[#ids + 1] = S1
  local second = by_whole(m, ids, 5, k)
  t.is(got, "the " .. first .. " fox " .. second .. " over", "span: all blanks at once")
  t.is(table.concat(list, "|"), first .. "|" .. second, "and both are told")
  local causal = trained("span", {prefix = false}, 3)
  t.is(causal.cfg.prefix, false, "unless the model is to be causal")
  _, list = causal:fill("the ___ fox", {tokens = 4})
  t.is(list[1], by_whole(causal, ids_of("the ", S0, " fox", EOT, S0), 4), "which fills as well")
end

-- What one training chose another chooses anew, of a model that was saved between, too.
do
  local m = trained "prefix"
  local path = t.scratch "prefix"
  assert(m:save(path))
  local n = assert(model.load(path))
  for name, one in t.sorted {["the same"] = m, ["one that was loaded"] = n} do
    t.is(one.cfg.prefix, true, name .. ": prefix is seen whole")
    train(one, d, {steps = 1, batch = 4, eval_every = 0, save = false}):wait()
    t.is(one.cfg.prefix, nil, name .. ": no longer when it learns next tokens")
  end
end

-- ---- weights that are far apart, so that all that is read matters ----

-- Scores of attention and experts' weights far from 0; special tokens are not written.
local function stirred(by, seed)
  local m = trained(by, nil, 1)
  for i, info in ipairs(m._info) do
    local p = m.params[i]
    if #p.shape > 1 then
      local times = info.name:find "embed" and 1 or 0.4
      engine.copy(p, tensor.randn(p.shape, {seed = seed + i}) * times)
    end
  end
  m.params["lm_head.weight"]:detach():narrow(1, 257, tok.size - 256):fill(0)
  return m
end

do
  local m = stirred({"fim", rate = 1}, 20)
  local _, list = m:fill("a ___ b ____ c", {tokens = 5})
  local first = by_whole(m, ids_of(PRE, "a ", SUF, " b ", MID), 5)
  t.is(list[2], by_whole(m, ids_of(PRE, "a " .. first .. " b ", SUF, " c", MID), 5),
    "fim: the second stands behind the first's filling")
  t.ok(first ~= "" and list[2] ~= by_whole(m, ids_of(PRE, "a  b ", SUF, " c", MID), 5),
    "... which it goes by", list[2])
end
do
  local m = stirred("span", 2)
  local ids = ids_of("the ", S0, " fox ", S1, " over", EOT)
  local k, _, list = #ids, m:fill("the ___ fox ___ over", {tokens = 5})
  ids[#ids + 1] = S0
  local first = by_whole(m, ids, 5, k)
  local other = table.move(ids, 1, #ids, 1, {})
  ids[#ids + 1], other[#other + 1] = S1, S0
  local second = by_whole(m, ids, 5, k)
  t.is(table.concat(list, "|"), first .. "|" .. second, "span: each behind its own sentinel")
  t.ok(second ~= by_whole(m, other, 5, k), "... which it goes by", second)
end

do -- of what an encoder's decoder writes
  local m = model.encdec{layers = 1, decoder_layers = 1, dim = 16, heads = 2, input_context = 40,
                         context = 24, vocab = tok}
  local asked
  rawset(m, "_decode", function(_, inputs)
    asked = inputs
    return {{ids = ids_of("x", S0, "abcde", S1, "f", special "<extra_id_2>", "g", EOT)}}
  end)
  local got, list = m:fill("1 ___ 2 ___ 3", {tokens = 3})
  t.is(table.concat(asked, " "), table.concat(ids_of("1 ", S0, " 2 ", S1, " 3", EOT), " "),
    "an encoder reads a sentinel in place of each blank")
  t.is(got, "1 abc 2 f 3", "what stands behind each is its filling, of so many tokens")
  t.is(#list, 2, "and nothing else is")
end

-- ---- a prefix that is seen whole ----

do
  local m = trained "prefix"
  t.is(m.cfg.prefix, true, "prefix: attention sees it whole")
  local prompt = "the quick brown fo"
  local n = #prompt
  local ids = ids_of(prompt)
  local want = by_whole(m, ids, 12, n)
  t.is(m:generate(prompt, {temperature = 0, tokens = 12}), prompt .. want,
    "a generation sees its prompt whole")
  local a, b = ids_of "abcdefgh", ids_of "abcdefgX"
  local function moved(prefix, at)
    local x, y = whole(m, a, prefix)[at], whole(m, b, prefix)[at]
    return not x:equal(y)
  end
  t.ok(not moved(0, 3), "without a prefix a token does not see what comes later")
  t.ok(moved(8, 3), "in it, it does")
  t.ok(not moved(7, 3), "but not behind its end")
  t.near(m:loss("the quick brown fox"), (function()
    local x = ids_of "the quick brown fox"
    local logits, sum = whole(m, x, 0):log_softmax(-1), 0
    for i = 1, #x - 1 do sum = sum - logits[i][x[i + 1] + 1]:item() end
    return sum / (#x - 1)
  end)(), 1e-5, "a text alone has no prefix")
  -- training goes by it: two models that differ in nothing else
  local function loss(prefix)
    local other = make{prefix = prefix}
    return other:loss(d, {objective = "prefix", batches = 1})
  end
  t.ok(loss(true) ~= loss(false), "and losses go by it")
end

-- ---- tokens of words ----

do -- " quick" is one token: the space before a blank is the filling's
  local path = t.write(t.scratch "text", text)
  local words = assert(tokenizer.train_bpe(path, {vocab = 480, fim = true, sentinels = 20}))
  t.is(#words:encode " quick", 1, "words have the space at their beginning")
  local m = model.dense {layers = 1, dim = 32, heads = 2, context = 32, vocab = words}
  train(m, data.string(text, {tokenizer = words, val = 0}), {
    objective = {"span", mean = 1, density = 0.1}, steps = 100, batch = 8, lr = 1e-2, save = false,
    eval_every = 0}):wait()
  local got, list = m:fill("over the lazy dog and runs away. the quick brown ___ jumps over the "
    .. "___ dog")
  t.ok(#list[1] > 0 and not table.concat(list, "|"):find "%f[^\0|] ", "no filling begins with one",
    table.concat(list, "|"))
  t.ok(not got:find "  ", "one space on each side", got)
  t.is((m:fill("brown [] jumps", {blank = "[]", tokens = 3})):sub(1, 6), "brown ",
    "the text's own stays as it is")
end

-- ---- models with an encoder ----

do
  local m = model.encdec {layers = 1, dim = 16, heads = 2, input_context = 40, context = 6,
                          vocab = tok}
  t.refuses(function() m:fill "a___b___c___d" end, "a decoder without room",
    "3 blanks are 7 tokens at least: the decoder's context of 6 has no room for them")
  local child = io.popen(("'%s' -E --plain -e '%s' 2>&1"):format(os.getenv "SWITCHYARD", [[
    local m = model.encdec {layers = 1, dim = 16, heads = 2, input_context = 40, context = 6,
      vocab = tokenizer.bytes {sentinels = 20}}
    print(m:fill("a___b___c", {tokens = 2}))]]))
  local said = child:read "a"
  child:close()
  t.ok(said:find "the model ended after 0 of 2 blanks; the others are empty", "it says so", said)
end

-- ---- on disk ----

do
  local folder = t.scratch "fim"
  local m = trained({"fim", rate = 1}, nil, 3)
  local want = m:fill("the ___ fox", {tokens = 4})
  t.ok(m:save(folder), "saved")
  local again = assert(model.load(folder))
  t.is((again:fill("the ___ fox", {tokens = 4})), want, "a model knows how to fill")
  t.near(again:loss(d, {batches = 1}), m:loss(d, {batches = 1}), 1e-6, "and its objective")
end

-- ---- what is refused ----

t.refuses(function() make():fill "no blank" end, "no blank", "the text has no blank: ___ marks one")
t.refuses(function() make():fill(7) end, "no text", "takes a text, got number")
t.refuses(function() make():fill "a ___ b" end, "unknown how", "by = \"span\" or by = \"fim\"")
t.refuses(function() make():fill("a ___ b", {by = "spam"}) end, "an unknown form", "'spam'", "span")
t.refuses(function() make({vocab = 256}, 256):fill "a ___ b" end, "no special tokens",
  "neither sentinels nor the tokens of fim", "tokenizer.bytes{sentinels = 100, fim = true}")
t.refuses(function() make(nil, tokenizer.bytes{fim = true}):fill("a ___ b", {by = "span"}) end,
  "no sentinels", "by = \"span\": the tokenizer lacks")
t.refuses(function() make():fill(("a"):rep(80) .. "___", {by = "fim"}) end, "too long",
  "the model's context of 64 has no room")
t.refuses(function()
  make(nil, tokenizer.bytes{sentinels = 1}):fill("a ___ b ___ c")
end, "too many", "2 blanks, the tokenizer has 1 sentinels")
t.done()

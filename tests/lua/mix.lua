-- Mixes of data: what rows are drawn of, by shares that change while a run lives; places of the
-- parts; resume, rewind, fork and replay; losses and experts by source; what is refused.  TAP.

local srcdir = os.getenv "srcdir"
local engine = require "switchyard.engine"
local tap = dofile(srcdir .. "/tests/lua/tap.lua")
local small = dofile(srcdir .. "/tests/lua/small.lua")
local ok, is, near, refuses = tap.ok, tap.is, tap.near, tap.refuses

local folder = tap.folder "files"

-- Texts of 300 and 200 windows of 4 tokens.
local function texts()
  return data.string(("abcd"):rep(300) .. "a", {val = 0}), data.string(("wxyz"):rep(200) .. "w",
    {val = 0})
end
local a, b = texts()

-- ---- making ----

local d = data.mix{{a, 7}, {b, 3, name = "letters"}}
is(d.tokens .. " " .. d.documents .. " " .. table.concat(d.sources, " "), "2002 2 1 letters",
  "tokens, documents and names of all parts")
is(d:document(2).first, 1202, "numbered through")
is(d:sample(2002, {seed = 1}), ("abcd"):rep(300) .. "a" .. ("wxyz"):rep(200) .. "w", "and read so")
ok(d.hash ~= data.mix{{b, 7}, {a, 3}}.hash, "the hash is of its parts in their order")
is(d.hash, data.mix{{a, 1}, {b, 1, name = "letters"}}.hash, "and not of their shares")
local pad = data.string("xx yy", {tokenizer = tokenizer.bytes{pad = true}})
refuses(function() data.mix{{a, 1}, {pad, 1, name = "padded"}} end, "two tokenizers", "'padded'",
  "258 ids", "'1'", "256 ids")
refuses(function() data.mix{{a, 0}, {b, 0}} end, "no share at all", "all 2 shares are 0")
refuses(function() data.mix{{a, -1}, {b, 1}} end, "a negative share", "share 1", "-1")
refuses(function() data.mix{{a, 1}, {b}} end, "no share", "item 2", "nil")
refuses(function() data.mix{a, b} end, "no items", "item 1", "{data set, share}", "userdata")
refuses(function() data.mix{{1, 1}} end, "no data set", "item 1", "number")
refuses(function() data.mix{{a, 1, name = "x"}, {b, 1, name = "x"}} end, "one name twice", "'x'")
refuses(function() data.mix{{d, 1}, {b, 1}} end, "a mix of a mix", "is a mix itself")
refuses(function() data.mix{} end, "nothing", "they are 0")
refuses(function() data.mix{{a, 1}, {b.val, 1}} end, "a part of a data set", "item 2",
  "validation part")
refuses(function()
  train(model.dense{layers = 1, dim = 16, heads = 2, context = 4, ffn_dim = 16, vocab = 256},
    a.train, {steps = 1})
end, "training on a part of a data set", "training part", "give the data set")
refuses(function() d.val:sample(3) end, "one text for validation", "ask its data sets")

-- ---- rows ----

local f = small.fields({"tokens", "sources"}, 2000, 4)
engine.batch(d, 1, 0, f)
local of_a, wrong = 0, 0
local tokens, sources = f.tokens:table(), f.sources:table()
for i = 1, 2000 do
  local is_a = tokens[i][1] < 104
  of_a = of_a + (is_a and 1 or 0)
  for t = 1, 4 do wrong = wrong + (sources[i][t] == (is_a and 0 or 1) and 0 or 1) end
end
near(of_a / 2000, .7, .03, "rows by the shares")
is(wrong, 0, "each knows its source")
local g = small.fields({"tokens", "sources"}, 1, 4)
local same = true
for i = 0, 20 do
  engine.batch(d, 1, i, g)
  same = same and table.concat(g.tokens:table()[1]) == table.concat(tokens[i + 1])
end
ok(same, "a row is a function of the seed and its number")

-- ---- a run ----

local function make()
  return model.moe{layers = 1, dim = 16, heads = 2, context = 4, expert_dim = 16, experts = 4,
                   top_k = 2, vocab = 256}
end
local function go(name, o)
  return train(make(), d, tap.with({steps = 40, batch = 4, accumulate = 2, eval_every = 0,
    name = name, seed = 3, lr = 1e-3, warmup = 2, schedule = "constant", sampling = "epoch",
    checkpoint_every = 10}, o))
end
local r = go("mixed", {paused = true})
is(table.concat(r.mix, " "), "0.7 0.3", "a run shows its shares")
r:steps(15)
r:wait()
r.mix = {1, 1}
is(table.concat(r.mix, " "), "0.5 0.5", "they are made to sum to 1")
r:steps(10)
r:wait()
r.mix = {0, 2}
r:resume()
r:wait()
is(r.state .. r.step, "done40", "a run whose shares change")
local journal = {}
for _, e in ipairs(r:journal()) do
  if e.kind == "mix" then journal[#journal + 1] = e.step .. " " .. e.text end
end
is(table.concat(journal, "; "), "15 mix = {1, 1}; 25 mix = {0, 2}", "they are in its journal")

-- Each part keeps its own place: its windows one after the other, each once a pass.
local drawn, late = {{}, {}}, 0
for step = 1, 40 do
  for _, row in ipairs(r._h:rows(step)) do
    local part = row.start < 1201 and 1 or 2
    if step > 25 and part == 1 then late = late + 1 end
    table.insert(drawn[part], row.start)
  end
end
is(#drawn[1] + #drawn[2], 320, "all rows")
is(late, 0, "none of a part without a share")
local twice = 0
for part, windows in ipairs{300, 200} do
  local seen = {}
  for i = 1, math.min(#drawn[part], windows) do
    twice = twice + (seen[drawn[part][i]] and 1 or 0)
    seen[drawn[part][i]] = true
  end
end
is(twice, 0, "no window twice in a pass of a part")

-- ---- the same bits ----

local hash, loss = r:hash(), r.loss
ok(replay("mixed").identical, "it is replayed")
local fork = r:fork{step = 20, name = "mix-fork", paused = true}
is(table.concat(fork.mix, " "), "0.5 0.5", "a fork has the shares of its step")
fork:steps(5)
fork:wait()
fork.mix = {0, 2}
fork:resume()
fork:wait()
is(fork.step .. fork:hash(), "40" .. hash, "and comes to the same bits")
r:rewind(12)
is(table.concat(r.mix, " "), "0.7 0.3", "a rewind goes back to the shares of then")
r:steps(3)
r:wait()
r.mix = {1, 1}
r:steps(10)
r:wait()
r.mix = {0, 2}
r:resume()
r:wait()
is(r.step .. r:hash(), "40" .. hash, "from where the same leads to the same")

for _, sampling in ipairs{"epoch", "random", "sequential"} do
  local script = tap.write(folder .. "/go.lua", ([[
local a = data.string(("abcd"):rep(300) .. "a", {val = 0.2})
local f = io.open(%q, "w") f:write(("wxyz"):rep(200) .. "w") f:close()
local d = data.mix{{a, 7}, {assert(data.text(%q, {val = 0.2})), 3, name = "letters"}}
local m = model.dense{layers = 1, dim = 16, heads = 2, context = 4, ffn_dim = 16, vocab = 256}
local name, r = arg[1]
if name == "again" then r = train.resume(arg[2], {steps = 30, paused = true})
else r = train(m, d, {steps = name == "half" and 17 or 30, batch = 4, eval_every = 5, seed = 3,
  eval_batches = 2, name = name .. "-" .. %q, lr = 1e-3, warmup = 2, schedule = "constant",
  sampling = %q, checkpoint_every = 4, paused = true}) end
if name ~= "again" then r:steps(9) r:wait() r.mix = {1, 1} end
r:resume()
r:wait()
print(r.state, r.step, r:hash(), r.val_loss, r.mix[1])
]]):format(folder .. "/w.txt", folder .. "/w.txt", sampling, sampling))
  local whole = tap.child(script .. " whole")
  local line = whole:match "done\t30\t[^\n]*"
  ok(line and line:find "0.5$", sampling .. ": a run", whole)
  tap.child(script .. " half")
  local again = tap.child(script .. " again half-" .. sampling)
  ok(line and again:find(line, 1, true), sampling .. ": another process goes on with the same bits",
    tostring(line) .. "\n" .. again)
end
tap.write(folder .. "/w.txt", ("wxyz"):rep(199) .. "w")
local script = folder .. "/changed.lua"
tap.write(script, 'train.resume("half-epoch", {steps = 40}):wait()')
local changed = tap.child(script)
ok(changed:find("the data ('letters') changed", 1, true), "a part that is another is named",
  changed)

-- ---- losses and experts by source ----

r = train(make(), data.mix{{data.string(("abcd"):rep(300)), 1, name = "one"},
                           {data.string(("wxyz"):rep(200)), 1, name = "two"}},
  {steps = 30, batch = 4, accumulate = 2, eval_every = 10, eval_batches = 1, name = "by-source",
   seed = 3, lr = 1e-2}):wait()
local by = r:history "loss.by_source"
is(by.shape[1] .. " " .. by.shape[2], "30 3", "a loss of each source at each step")
local losses, off, mean = r:history "loss", 0, 0
for i = 1, 30 do
  local low, high = math.min(by[i][2], by[i][3]), math.max(by[i][2], by[i][3])
  if low == low and high == high and (losses[i][2] < low - 1e-2 or losses[i][2] > high + 1e-2) then
    off = off + 1
  end
end
is(off, 0, "the loss of all is between them")
local val = r:history "val_loss.by_source"
local all = r:history "val_loss"
for i = 1, 3 do
  near((val[i][2] + val[i][3]) / 2, all[i][2], 2e-3, "evaluations take windows of all in turn")
end
local load = r:history "source_load.1"
is(load.shape[2], 9, "experts by source")
near(load[1]:narrow(1, 2, 4):sum():item(), 4, 1e-2, "of a fair share, of each source its own")
is(table.concat(engine.json(assert(r._store:info().config)).sources, " "), "one two",
  "the names of the sources are kept")
is(go("random", {sampling = "random", steps = 3}):wait().state, "done", "drawn at random, too")
local plain = train(make(), a, {steps = 3, batch = 4, eval_every = 0, name = "plain"}):wait()
ok(not pcall(plain.history, plain, "loss.by_source"), "data of one source has none of these")

do -- by hand: a model that stands still, whose experts go by the token id
  local token_table = require "switchyard.model.token_table"
  local easy = data.string(("ab"):rep(600), {val = 0.2})
  local letters = {}
  for i = 1, 1200 do letters[i] = string.char(97 + (i * i * 7 + i) % 26) end
  local hard = data.string(table.concat(letters), {val = 0.2})
  local both = data.mix{{easy, 2, name = "easy"}, {hard, 1, name = "hard"}}
  local m = model.moe{layers = 1, dim = 16, heads = 2, context = 4, expert_dim = 16, experts = 4,
                      top_k = 2, vocab = 256, router = "hash"}
  train(m, easy, {steps = 60, batch = 8, lr = 1e-2, eval_every = 0, save = false}):wait():close()
  local run = train(m, both, {steps = 1, batch = 6, accumulate = 3, seed = 3, lr = 1e-30,
                              warmup = 0, weight_decay = 0, eval_every = 1, eval_batches = 100,
                              save = false})
  run:wait()
  local experts, sums, count = token_table(256, 4, 2, 1, 1), {0, 0}, {0, 0}
  local loads = {{0, 0, 0, 0}, {0, 0, 0, 0}}
  local rows = small.fields({"tokens", "targets", "sources"}, 18, 4)
  engine.batch(both, 3, 0, rows)
  for i = 1, 18 do
    local s, ids, targets = rows.sources[i][1] + 1, rows.tokens[i]:table(), rows.targets[i]:table()
    local logits = m:logits(ids):log_softmax(-1)
    for at, id in ipairs(ids) do
      sums[s], count[s] = sums[s] - logits[at][targets[at] + 1]:item(), count[s] + 1
      for _, e in ipairs(experts[id + 1]:table()) do
        loads[s][e] = loads[s][e] + 1
      end
    end
  end
  ok(count[1] > 0 and count[2] > 0, "rows of both", count[1])
  local by_hand, load_of = run:history("loss.by_source")[1], run:history("source_load.1")[1]
  local validation = run:history("val_loss.by_source")[1]
  for s, part in ipairs{easy, hard} do
    near(by_hand[s + 1]:item(), sums[s] / count[s], 1e-5, "loss by source, by hand: " .. s)
    near(validation[s + 1]:item(), m:loss(part), 1e-5, "... of evaluations, alone: " .. s)
    for e = 1, 4 do
      near(load_of[1 + (s - 1) * 4 + e]:item(), loads[s][e] * 4 / (2 * count[s]), 1e-5,
        ("... assignments of source %d to expert %d"):format(s, e))
    end
  end
  ok(validation[3]:item() > validation[2]:item() + 1, "... which are apart", validation)
end

-- ---- pairs among text ----

do
  local tok = tokenizer.bytes{pad = true}
  local pairs_path = tap.write(folder .. "/p.tsv", "de\teins\tone\nfr\tun\tone\nde\tzwei\ttwo")
  local p = assert(data.pairs(pairs_path, {to = "en", val = 0, tokenizer = tok}))
  local text = data.string(("abcd"):rep(90), {tokenizer = tok})
  local both = data.mix{{text, 1, name = "text"}, {p, 1}}
  is(table.concat(both.sources, " "), "text de fr", "text and the languages of pairs are sources")
  local m = model.dense{layers = 1, dim = 16, heads = 2, context = 16, ffn_dim = 16, vocab = tok}
  local run = train(m, both, {steps = 12, batch = 8, eval_every = 0, name = "both"}):wait()
  is(run.state, "done", "a run on both")
  local sums = run:history("loss.by_source"):narrow(1, 6, 6)
  ok(sums.shape[2] == 4 and sums:max():item() > 0, "with the losses of each", sums)
  -- What r:why tells of its rows is what the batches had.
  local f = small.fields({"tokens", "documents"}, 8, 16)
  local texts, several, other, numbers, shown = 0, 0, 0, 0, false
  for step = 1, 12 do
    engine.batch(both, run.seed, run._h:windows(step), f)
    local rows, docs = f.tokens:table(), f.documents:table()
    local why = run:why(step)
    shown = shown or tostring(why):find "and %d+ more, token %d+: [^\n]*<|endoftext|>"
    for i, row in ipairs(why.sequences) do
      local ids = {}
      for _, s in ipairs(row.pairs or {row}) do
        local list = run._h:row_ids(s.start, s.tokens)
        table.move(list, 1, row.pairs and #list - 1 or #list, #ids + 1, ids)
      end
      if table.concat(ids, " ") ~= table.concat(rows[i], " ", 1, #ids) then other = other + 1 end
      if not row.pairs and docs[i][1] + 1 ~= row.document then numbers = numbers + 1 end
      texts = texts + (row.pairs and 0 or 1)
      several = several + (row.pairs and #row.pairs > 1 and row.documents == #row.pairs and 1 or 0)
    end
  end
  ok(texts > 9 and several > 9 and texts + several < 97, "r:why of each step, rows of both",
    texts .. " of text, " .. several .. " of several pairs")
  is(other, 0, "what it tells of is what was drawn")
  ok(shown, "and shown", run:why(12))
  is(type(m:translate("eins", {from = "de"})), "string", "it translates by the pairs' languages")
  local swapped = data.mix{{p, 1}, {text, 1, name = "text"}}
  for windows = 0, 9 do
    engine.batch(swapped, 1, windows, f)
    for i, docs in ipairs(f.documents:table()) do
      if f.tokens[{i, 1}]:item() == 97 + (f.tokens[{i, 2}]:item() - 98) % 4 and docs[1] ~= 3 then
        numbers = numbers + 1
      end
    end
  end
  is(numbers, 0, "documents are numbered through all parts, as d:document does")
  local fim = tokenizer.bytes{pad = true, fim = true}
  local letters = assert(data.pairs(pairs_path, {to = "en", val = 0, tokenizer = fim}))
  local objectives = engine.objectives({{name = "fim", share = 1, rate = 1}}, fim)
  local mixed = data.mix{{letters, 1}, {data.string(("abcd"):rep(90), {tokenizer = fim}), 1,
                                        name = "text"}}
  local wrong, specials = 0, 0
  for windows = 0, 9 do
    engine.batch(mixed, 1, windows, f, objectives)
    local rows = f.tokens:table()
    for i, docs in ipairs(f.documents:table()) do
      for k, id in ipairs(rows[i]) do
        local special = id == fim:special "<|fim_prefix|>" or id == fim:special "<|fim_suffix|>"
          or id == fim:special "<|fim_middle|>"
        specials = specials + (special and 1 or 0)
        wrong = wrong + (special and docs[k] ~= 3 and 1 or 0)
      end
    end
  end
  ok(specials > 20 and wrong == 0, "of what is between the texts, too", wrong)
  local italian = assert(data.pairs(tap.write(folder .. "/it.tsv", "uno\tone\ndue\ttwo"),
    {from = "it", to = "en", val = 0, tokenizer = tok}))
  local l = engine.languages(data.mix{{text, 1, name = "text"}, {p, 1}, {italian, 1, name = "it"}})
  is(table.concat(l.sources, " ") .. ": " .. table.concat(l.numbers, " "), "de fr it: 1 2 3",
    "of all pairs, by their numbers among the sources")
  ok(replay("both").identical, "and is replayed")
end

-- More sources x experts than a row of the store can bear.
do
  local lines = {}
  for i = 1, 300 do lines[i] = ("l%d\ta %d\tb %d"):format(i, i, i) end
  local p = assert(data.pairs(tap.write(folder .. "/many.tsv", table.concat(lines, "\n")),
    {to = "en", val = 0}))
  local m = model.moe{layers = 1, dim = 8, heads = 1, context = 16, expert_dim = 8, experts = 64,
                      top_k = 1, vocab = p.tokenizer}
  local run = train(m, p, {steps = 2, batch = 4, eval_every = 0, save = false}):wait()
  local beside = table.concat(run._beside, "\n")
  ok(beside:find("source_load is not kept: 300 sources x 64 experts are over 16384", 1, true),
    "experts by source are not kept of very many, which is said", beside)
  ok(not pcall(run.history, run, "source_load.1") and run:history "load.1", "and nothing else")
end

-- ---- what is said ----

local late_script = tap.write(folder .. "/late.lua", [[
local a = data.string(("abcd"):rep(300), {val = 0})
local m = model.dense{layers = 1, dim = 16, heads = 2, context = 4, ffn_dim = 16, vocab = 256}
local r = train(m, data.mix{{a, 1}, {a, 1, name = "b"}}, {steps = 2, save = false}):wait()
r.mix = {0.7, 0.3}
print(table.concat(r.mix, " "))]])
local said = tap.child(late_script)
ok(said:find("mix = {0.7, 0.3} has no effect yet: the run is done at step 2", 1, true),
  "shares behind the end have no effect yet, which is said", said)
ok(said:find("\n0.7 0.3\n", 1, true), "and are read as they were set", said)

-- ---- what is refused ----

r.mix = {0.7, 0.3}
ok(r.mix[1] == 0.7 and r.mix[2] == 0.3, "shares are read back as they were given", r.mix[1])
refuses(function() r.mix = {1} end, "too few shares", "list of 2", "of 1")
refuses(function() r.mix = 3 end, "a number", "list of 2", "a number")
refuses(function() r.mix = {1, -1} end, "a negative share", "mix[2]", "-1")
refuses(function() r.mix = {0, 0} end, "none at all", "all 2 shares are 0")
refuses(function() r.mix = {1, 0 / 0} end, "no number", "mix[2]", "nan")
refuses(function() plain.mix = {1} end, "of a run of one data set", "no mix")
refuses(function()
  train(make(), data.mix{{a, 1}, {data.string "ab", 1, name = "short"}}, {steps = 1, name = "x"})
end, "a part that is too short", "'short'", "context 4")
do
  local tok = tokenizer.bytes{pad = true}
  local path = tap.write(folder .. "/long.tsv", "de\teins\tone and more\nfr\tun\tone")
  local p = assert(data.pairs(path, {to = "en", val = 0, tokenizer = tok}))
  local text = data.string(("abcd"):rep(90), {tokenizer = tok})
  refuses(function() data.mix{{p, 1, name = "words"}, {text, 1, name = "fr"}} end,
    "the name of a language", "'fr'", "language")
  is(table.concat(data.mix{{text, 1, name = "fr"}, {p, 1, name = "words"}}.sources, " "),
    "fr de words/fr", "which is told apart where it comes later")
  local m = model.dense{layers = 1, dim = 16, heads = 2, context = 4, ffn_dim = 16, vocab = tok}
  refuses(function() train(m, data.mix{{text, 1}, {p, 1, name = "words"}}, {steps = 1}) end,
    "pairs that are too long are named as the part", "'words'", "context 4")
end

tap.done()

-- Whose tokenizer a model has: the one that was given as vocab, or the data's that it is trained
-- on, or none; and nothing makes text of ids, or ids of text, with another.  TAP.

local tap = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local ok, is, refuses = tap.ok, tap.is, tap.refuses

local folder = tap.folder "files"
local text = ("the quick brown fox jumps over the lazy dog; "):rep(60)
tap.write(folder .. "/text", text)
local bpe = assert(tokenizer.train_bpe(folder .. "/text", {vocab = 280}))
local bytes = tokenizer.bytes()

local function make(vocab)
  return model.dense{layers = 1, dim = 16, heads = 2, context = 16, ffn_dim = 16, vocab = vocab}
end
local function run(m, d, more)
  return train(m, d, tap.with({steps = 2, batch = 2, eval_every = 0}, more)):wait()
end

-- ---- a number and no data ----

local none = make(280)
is(none.tokenizer, nil, "vocab is a number: no tokenizer")
for name, f in tap.sorted {loss = function() none:loss "the dog" end,
                           logits = function() none:logits "the dog" end,
                           generate = function() none:generate "the dog" end} do
  refuses(f, name .. " of a text is refused", name .. ": the model has no tokenizer", "280",
    "vocab = tok")
end
local ids = none:generate({1, 2}, {tokens = 3})
is(#ids .. " " .. ids[1] .. " " .. ids[2], "5 1 2", "ids are written after ids")
is(#none:generate({}, {tokens = 3}), 3, "also after nothing")
ok(none:loss{1, 2, 3} > 0, "and have a loss")
is(make(256).tokenizer, bytes, "256 ids alone are taken for bytes")
is(make().tokenizer, bytes, "and so is what was not given")
is(make(bpe).tokenizer, bpe, "a tokenizer is the model's")

-- ---- training gives it the data's ----

local d = data.text(folder .. "/text", {tokenizer = bpe})
local m = make(d.vocab)
local r = run(m, d, {name = "learned", sample_every = 1})
is(m.tokenizer, bpe, "trained on ids of a tokenizer: it is the model's")
is(r.state .. " " .. #r.samples, "done 2", "samples are taken")
is(m:loss "the quick", m:loss(bpe:encode "the quick"), "a text has its ids")
is(m:generate("the", {tokens = 0}), "the", "and what is written is text")
local config = require("switchyard.engine").json(require("switchyard.run.directory").config_text(r))
is(config.tokenizer.model.hash, bpe.hash, "the run tells of it")
ok(m:save(folder .. "/saved"), "saved")
is(model.load(folder .. "/saved").tokenizer, bpe, "the folder has it")
r:close()
is(train.resume("learned", {paused = true}).model.tokenizer, bpe, "and the run that goes on")

local wide = make(400)
run(wide, d)
ok(pcall(wide.generate, wide, "the", {tokens = 200, temperature = 100, top_k = 0, stop = false}),
  "ids that the tokenizer does not have are not drawn")

-- ---- two that differ ----

for name, case in tap.sorted {["bpe, data in bytes"] = {make(bpe), data.text(folder .. "/text")},
                              ["bytes, data in bpe"] = {make(bytes), d},
                              ["learned, data in bytes"] = {wide, data.text(folder .. "/text")}} do
  refuses(function() run(case[1], case[2]) end, name .. ": refused", "train: the data's tokenizer",
    "is not the model's",
    case[1].tokenizer.hash, case[2].tokenizer.hash, "tokenizer = m.tokenizer")
  refuses(function() case[1]:loss(case[2]) end, name .. ": its loss as well",
    "loss: the data's tokenizer")
end
local right = make(bpe)
is(run(right, d).state, "done", "the same tokenizer is the same")

-- ---- ids of no text ----

local chains = data.synthetic{domains = 2, tokens = 4000, seed = 1}
for _, vocab in ipairs {chains.vocab, 256} do
  local of = make(vocab)
  local name = "ids" .. vocab
  r = run(of, chains, {name = name, sample_every = 2})
  is(of.tokenizer, nil, vocab .. " ids, of no text: no tokenizer")
  is(r.state, "done", "its samples do not end the run")
  ok(r.samples[1].text:find "^%d+ ", "they are numbers", r.samples[1].text)
  refuses(function() r:sample "the dog" end, "a text is refused", "no tokenizer")
  is(#r:sample(nil, {tokens = 4}), 4, "ids are not")
  ok(of:save(folder .. "/" .. name), "saved")
  ok(not io.open(folder .. "/" .. name .. "/tokenizer.json"), "without a tokenizer")
  local back = assert(model.load(folder .. "/" .. name))
  ok(back.tokenizer == nil and back:loss{1, 2, 3} == of:loss{1, 2, 3}, "and read so")
  r:close()
  r = train.resume(name, {steps = 3}):wait()
  is(r.state .. " " .. tostring(r.model.tokenizer), "done nil", "a run goes on without")
end

tap.done()

-- Runs on mixes and objectives whose batch, accumulate, context and shares hooks change while they
-- live: replayed, rewound, forked, gone on with by another process, they have the same bits.  With
-- "half" as argument: the run up to a step, in a process of its own; "rest" goes on with it.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local ok, is = t.ok, t.is

local tok = tokenizer.bytes {sentinels = 20, pad = true}

local function texts()
  local a = data.string(("abcd"):rep(300) .. "a", {val = 0.2, tokenizer = tok})
  local b = data.string(("wxyz12"):rep(200) .. "w", {val = 0.2, tokenizer = tok})
  return data.mix {{a, 7}, {b, 3, name = "letters"}}
end

local function with_pairs()
  local path = small.pair_file("mix-live.tsv", 40,
    "de\tdie %w\tthe %w\nfr\tle %w la\tthe %w there\n")
  local a = data.string(("abcd"):rep(300) .. "a", {val = 0.2, tokenizer = tok})
  return data.mix {{a, 7, name = "text"},
                   {assert(data.pairs(path, {to = "en", val = 0.2, tokenizer = tok})), 3,
                    name = "pairs"}}
end

local function dense(context)
  return model.dense {layers = 1, dim = 16, heads = 2, context = context, ffn_dim = 16, vocab = tok}
end

-- Shares, objectives and samplings; the contexts that a hook sets.
local CASES = {
  epoch = {data = texts, model = function() return dense(8) end, context = {5, 7}},
  sequential = {data = texts, model = function() return dense(16) end, context = {12, 14},
                objective = {prefix = 1, next = 1}},
  random = {data = with_pairs, model = function() return dense(32) end, context = {28, 30}},
}

local function begin(sampling, name)
  local case = CASES[sampling]
  local r = train(case.model(), case.data(), {steps = 24, batch = 4, accumulate = 2, eval_every = 5,
    eval_batches = 2, seed = 3, lr = 1e-3, warmup = 2, schedule = "constant", sampling = sampling,
    objective = case.objective, checkpoint_every = 4, paused = true, name = name})
  local changes = {
    [5] = function() r.batch = 6 end, [8] = function() r.mix = {1, 1} end,
    [9] = function() r.accumulate = 3 end, [11] = function() r.context = case.context[1] end,
    [14] = function() r.mix, r.batch = {1, 2}, 2 end,
    [16] = function() r.context = case.context[2] end,
  }
  every(r, 1, function(self)
    if changes[self.step] then changes[self.step]() end
  end)
  return r
end

local function line(r)
  return ("bits %s %d %s %s"):format(r.state, r.step, r:hash(), r:history("val_loss"):hash())
end

if arg[1] == "half" then
  local r = begin(arg[2], "half-" .. arg[2])
  every(r, 1, function(self)
    if self.step == 18 then self:pause() end
  end)
  r:resume():wait()
  print(r.state, r.step)
  os.exit(true)
elseif arg[1] == "rest" then
  print(line(train.resume("half-" .. arg[2]):wait()))
  return
end

for _, sampling in ipairs {"epoch", "sequential", "random"} do
  local r = begin(sampling, "whole-" .. sampling):resume():wait()
  local bits, hash, log = line(r), r:hash(), {}
  is(r.state, "done", sampling .. ": changed six times")
  for _, e in ipairs(r:journal()) do log[#log + 1] = e.step end
  ok(#log >= 7, sampling .. ": each change is in the journal", table.concat(log, " "))
  ok(replay(r.name).identical, sampling .. ": replayed")
  local fork = r:fork {step = 17, name = "fork-" .. sampling}:wait()
  is(fork:hash(), hash, sampling .. ": forked behind the changes")
  local middle = r:fork {step = 10, name = "middle-" .. sampling}:wait()
  ok(middle:hash() ~= hash, sampling .. ": forked before the last of them, another")
  r:rewind(17)
  r:resume():wait()
  is(r:hash(), hash, sampling .. ": rewound behind the changes")
  local half = t.child(("'%s' half %s"):format(arg[0], sampling))
  ok(half:find("paused\t18", 1, true), sampling .. ": a half", half)
  local rest = t.child(("'%s' rest %s"):format(arg[0], sampling))
  ok(rest:find(bits, 1, true), sampling .. ": gone on with by another process", bits .. "\n"
    .. rest)
end

t.done()

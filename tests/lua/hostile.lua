-- What users' functions and others' files may do and must not bring down: finalizers at the end,
-- traces that are left, checkpoints whose tensors are not those that they tell of.  TAP.  Runs go
-- to the folder that tests/scratch.sh made.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local engine = require "switchyard.engine"
local folder = engine.runs_dir()
local write, read = t.write, t.read

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

-- What a script prints, and its exit status.
local function child(code, options, before)
  os.execute("mkdir -p '" .. folder .. "'")
  local path = write(folder .. "/child.lua", code)
  return t.child((options or "") .. " '" .. path .. "'", {runs = folder, environment = before})
end

-- ---- finalizers that run when the program ends ----

do
  local out, status = child [[
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    local function make()
      return model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 2,
        top_k = 1, expert_dim = 16}
    end
    local m, other = make(), make()
    local r = train(other, d, {steps = 3, batch = 2, name = "at-end"})
    r:wait():close()
    Kept = setmetatable({}, {__gc = function()
      print(pcall(train, m, d, {steps = 1000, batch = 2, save = false}))
      print(pcall(train.resume, "at-end"))
    end})]]
  t.is(status, 0, "a program whose __gc trains at the end ends")
  local _, refused = out:gsub("the program is ending", "")
  t.is(refused, 2, "neither train nor train.resume begins a run then")
  t.ok(not engine.checkpoints(folder .. "/at-end/start")[1], "and nothing of it is left behind")
end

-- ---- traces ----

local act -- what the model's function does besides, when it is traced to train
model.define("odd", function(cfg)
  return function(ids)
    local w = nn.param("w", {cfg.vocab, 8})
    if nn.mode() == "train" and act then act() end
    return nn.head(nn.embedding(ids, w), w)
  end
end, {{"vocab", "vocab", 256, help = "ids"}, {"context", "integer", 8, help = "T"},
      {"seed", "integer", 1, help = "seed"}})

do
  local m = model.odd{vocab = d.vocab}
  local function try() return train(m, d, {steps = 1, batch = 2, save = false}):wait() end
  for _, case in ipairs {
    {"an error", function() error "it went wrong" end},
    {"a table as an error", function() error {} end},
    {"a yield", coroutine.yield},
    {"a yield inside a pcall", function() pcall(coroutine.yield) error "after it" end},
    {"a trace within the trace", function() m:logits {1, 2} end},
  } do
    local what = case[1]
    act = case[2]
    t.ok(not coroutine.resume(coroutine.create(try)),
      what .. " in a model's function is an error of train's")
    act = nil
    t.is(nn.mode(), nil, what .. ": no description stays")
    local ok, r = pcall(try)
    t.is(ok and r.state, "done", what .. ": training goes on afterwards")
  end
  act = coroutine.yield
  local _, why = coroutine.resume(coroutine.create(try))
  t.ok(tostring(why):find("trace: a model's function must not yield", 1, true),
    "what was wrong is said", why)
  act = nil
end

-- ---- more than there is ----

local limited = "ulimit -v 1500000; "
if select(2, child("", nil, limited)) ~= 0 then
  t.skip("memory that is not there", "a sanitizer wants more addresses")
else
  local out, status = child([[
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab,
      experts = 2, top_k = 1, expert_dim = 16}
    local r = train(m, d, {steps = 5, batch = 2, save = false, paused = true})
    print(pcall(function() r.batch = 100000 end))
    print(r.batch, r:resume():wait().state)]], nil, limited)
  t.is(status, 0, "a process that may have 1.5 GB goes on")
  t.ok(out:find "activations: out of memory: %d+ bytes .- wanted, %S+ [MG]B are free",
    "when a live run's batch does not fit it is told what there is", out)
  t.ok(out:find "2\tdone", "and the batch stays what it was", out)
end

-- ---- checkpoints that are not what they say ----

local forge = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/forge.lua")

local function run(name)
  local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 2,
                      top_k = 1, expert_dim = 16}
  train(m, d, {steps = 12, batch = 2, checkpoint_every = 6, keep = 4, name = name}):wait():close()
end

local function with_nan(text)
  local n = ("<I8"):unpack(text)
  return text:sub(1, 8 + n) .. ("<f"):pack(0 / 0) .. text:sub(13 + n)
end

-- Half the numbers: the first tensor is gone from the header, the others move up.
local function cut(text)
  local n = ("<I8"):unpack(text)
  return text:sub(1, 8 + n) .. text:sub(9 + n, 8 + n + (#text - 8 - n) // 2)
end

for what, change in t.sorted {["a NaN"] = with_nan, ["half of the tensors"] = cut} do
  for _, file in ipairs {"model.safetensors", "optimizer.safetensors"} do
    local name = ("forged-%s-%s"):format(file:match "^%a", what:match "^%a")
    run(name)
    t.ok(replay(name).identical, name .. ": replay is identical as it is")
    local path = engine.find_checkpoint(folder .. "/" .. name, 6)
    forge(path, file, change)
    t.ok(engine.find_checkpoint(folder .. "/" .. name, 6), name .. ": the forged MANIFEST holds")
    local got = replay(name)
    t.ok(not got.identical and got.step == 6, ("%s: replay sees %s in %s"):format(name, what,
      file), got.text)
    path = engine.find_checkpoint(folder .. "/" .. name, 12)
    forge(path, file, change)
    local ok, why = pcall(train.resume, name)
    t.ok(not ok, name .. ": resume refuses it", why)
  end
end

do
  run "plain-damage"
  local path = engine.find_checkpoint(folder .. "/plain-damage", 6)
  local text = read(path .. "/model.safetensors")
  os.remove(path .. "/model.safetensors")
  write(path .. "/model.safetensors", text:sub(1, -2) .. "x")
  local got = replay "plain-damage"
  t.ok(got.identical and got.text:find("damaged: the checkpoint of step 6", 1, true),
    "a damaged checkpoint is named", got.text)
end

-- ---- what killed processes leave ----

do
  local m = model.odd{vocab = d.vocab}
  local left = folder .. "/saved.tmp-2147483646-0" -- no such process
  engine.dir_make(left)
  write(left .. "/config.json", "{")
  t.ok(m:save(folder .. "/saved"), "a model is saved beside what a killed process has left")
  t.ok(not io.open(left), "which is gone then")
end

-- ---- journals that were made up ----

do
  run "journal"
  local path = engine.find_checkpoint(folder .. "/journal", 12)
  for _, value in ipairs {"1e300", "-1e300", "null", "9223372036854775807", "1.5"} do
    forge(path, "state.json", function(text)
      return (text:gsub('"journal":%[.*%]',
        ('"journal":[{"step":3,"kind":"skip","key":"steps","value":%s,"expert":-1,"n":0,'
          .. '"text":"x"}]'):format(value)))
    end)
    local out = child('print(pcall(train.resume, "journal", {paused = true}))')
    t.ok(not out:find "runtime error" and not out:find "Sanitizer",
      "a journal with " .. value .. " does no harm", out)
  end
  local r = train(model.odd{vocab = d.vocab}, d, {steps = 1, batch = 2, save = false})
  r:wait()
  for _, expert in ipairs {math.mininteger, math.maxinteger, -1, 1 << 40} do
    t.raises(function() r._h:apply{kind = "freeze", key = "w", expert = expert} end,
      "expert must be")
  end
  t.raises(function() r._h:apply{kind = "set", key = "lr", value = -1, step = 7} end,
    "journal: step 7: ")
  for _, value in ipairs {1e300, -1e300, 0 / 0} do
    t.raises(function() r._h:apply{kind = "skip", value = value, step = 9} end,
      "journal: step 9: cannot skip")
    r._h:record{kind = "skip", value = value}
  end
end

t.done()

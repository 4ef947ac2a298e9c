-- What a newer program wrote: a run that has something which this one does not know is looked at as
-- ever, and not made again; it is refused by name, and nothing of it is lost.  TAP.  Runs go to the
-- folder that tests/scratch.sh made.

local source = (os.getenv "srcdir" or ".") .. "/tests/lua/"
local t, forge = dofile(source .. "tap.lua"), dofile(source .. "forge.lua")
local engine = require "switchyard.engine"
local folder = engine.runs_dir()

do
  local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
  local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 2,
                      top_k = 1, expert_dim = 16}
  train(m, d, {steps = 12, batch = 2, checkpoint_every = 6, keep = 4, name = "plain"}):wait()
    :close()
end

local function sh(...) assert(os.execute(string.format(...))) end

local function copy(name)
  sh("rm -rf '%s/%s' && cp -R '%s/plain' '%s/%s'", folder, name, folder, folder, name)
  return folder .. "/" .. name
end

-- All that is there to be seen of a run, and what lies in its folder.
local function seen(name)
  local s = runs(name)
  local list = {s.state, s.step, s.loss, s:history("loss").shape[1], #s:journal()}
  for i, x in ipairs(list) do list[i] = tostring(x) end
  return table.concat(list, " ") .. "\n" ..
    t.output(("ls '%s/%s' | grep step"):format(folder, name))
end

-- Resume and replay refuse a run, and export if it is its newest checkpoint that is not known; each
-- by one line that holds `why`.
local function refused(name, why, exported)
  local before = seen(name)
  for _, command in ipairs {"resume", "replay", exported and "export"} do
    local text, status = t.child(("%s %s%s"):format(command, name,
      command == "export" and (" '%s/%s-out'"):format(folder, name) or ""))
    t.ok(text:find(why, 1, true) and select(2, text:gsub("\n", "")) == 1 and status == 1,
      ("%s %s: %s"):format(command, name, why), text .. tostring(status))
    t.is(seen(name), before, command .. " changed nothing of " .. name)
  end
end

-- ---- a checkpoint ----

for name, case in t.sorted {
  field = {function(text) return '{"frobnicate":1,' .. text:sub(2) end,
           "step 12: checkpoint: state.json: unknown field 'frobnicate': a newer program made it"},
  format = {function(text) return (text:gsub('"format":%d+', '"format":99', 1)) end,
            "step 12: checkpoint: its format is 99"},
  schedule = {function(text) return (text:gsub('"cosine"', '"spiral"', 1)) end,
              "step 12: checkpoint: state.json: unknown schedule 'spiral'"},
} do
  local path = copy(name)
  forge(engine.find_checkpoint(path, 12), "state.json", case[1])
  refused(name, case[2], true)
end

do -- what is damaged is none of a newer program's: the one before is taken
  local path = copy "damaged"
  t.write(path .. "/step-000012/state.json", "{")
  local r = train.resume("damaged", {steps = 14})
  t.ok(r:wait().step == 14, "a damaged one is passed over")
  r:close()
end

-- ---- an entry of the journal ----

for name, case in t.sorted {
  set = {{kind = "set", key = "frobnicate", value = 3}, "no hyper-parameter 'frobnicate': step 8"},
  range = {{kind = "set", key = "lr", value = -1}, "step 8: train: lr is -1, must be from"},
  schedules = {{kind = "schedule", key = "spiral"}, "no schedule 'spiral': step 8"},
  rules = {{kind = "rules", value = 99}, "rules 99, this program knows 1 to"},
  skip = {{kind = "skip", value = 0.5}, "journal: step 8: cannot skip step 0.5"},
  config = {{kind = "config", key = "frobnicate", value = 2},
            "no option 'frobnicate' of models that changes while they train: step 8"},
} do
  local path, e = copy(name), case[1]
  sh("rm -rf '%s/step-000012'", path) -- which has none of it
  e.step, e.text = 8, "what a newer program did"
  local store = assert(engine.store_open(name, {dir = folder, write = true}))
  store:add_entry(e)
  store:close()
  refused(name, case[2])
  t.is(runs(name):journal()[1].text, e.text, "the journal of " .. name .. " is shown")
end

do -- of a kind that is not known
  copy "kind"
  local store = assert(engine.store_open("kind", {dir = folder, write = true}))
  store:add("journal", 8, "teleport", "layer 1 to layer 2")
  store:close()
  refused("kind", "kind 'teleport', which this program does not know: step 8")
end

t.done()

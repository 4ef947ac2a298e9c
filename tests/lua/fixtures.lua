-- Runs of older programs (tests/fixtures) are opened: listed, replayed, resumed, rewound, exported;
-- with the bits that they had.  TAP.  Each case works on a copy in the folder that tests/scratch.sh
-- made.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local engine = require "switchyard.engine"
local folder, fixtures = engine.runs_dir(), (os.getenv "srcdir" or ".") .. "/tests/fixtures/"

-- resumed: at step 40; rewound: from there to step 12, which no checkpoint has.
-- changed: what the program computes was changed since, so going on is refused until it is forced.
local RUNS = {
  {name = "of-0.1", from = "0.1", stopped = "f8c4ffd0ab1349e4", resumed = "b9aac30d7daaf4f7",
   rewound = "bc175c6d9b0b892c"},
  {name = "old-2", from = "format-2", stopped = "6c9c131158921a41", resumed = "ce9f62493a3cc3d1",
   rewound = "8db21206735ab5cb"},
  {name = "old-1", from = "format-1", stopped = "6c9c131158921a41", resumed = "ce9f62493a3cc3d1",
   rewound = "8db21206735ab5cb", changed = true},
}

local function fresh(run)
  assert(os.execute(
    ("mkdir -p '%s' && rm -rf '%s/%s' && cp -R '%s%s' '%s/%s' && chmod -R u+w '%s/%s'")
    :format(folder, folder, run.name, fixtures, run.from, folder, run.name, folder, run.name)))
end

local function child(arguments) return (t.child(arguments)) end

-- What the stored run says of itself.
local function looks_whole(run, when)
  local s = runs(run.name)
  t.ok(s.state == "stopped" and s.step == 25 and s.loss > 4 and s:history("loss").shape[1] == 25 and
    #s:journal() >= 5, run.from .. ": the stored run" .. when, tostring(s))
end

local function listed(run)
  looks_whole(run, "")
  local list = child "runs"
  local line = ("\n" .. list):match("\n" .. run.name:gsub("%p", "%%%0") .. "( [^\n]+)") or ""
  t.ok(line:find "^ +stopped +25/30 +4%.1", run.from .. ": listed", list)
  t.ok(#engine.checkpoints(folder .. "/" .. run.name) == 2, run.from .. ": two checkpoints")
end

local function replayed(run)
  local said = child("replay " .. run.name)
  t.ok(said:find "identical through step 25", run.from .. ": replay", said)
end

local function exported(run)
  local to = ("%s/%s-exported"):format(folder, run.name)
  local said = child(("export %s '%s'"):format(run.name, to))
  t.ok(said:find "the model at step 25", run.from .. ": export", said)
  local m = model.load(to)
  t.ok(m.cfg.experts == 4, run.from .. ": the exported model")
end

-- Refused, by name, without a trace in the run's directory.
local function refused(run)
  t.raises(function() train.resume(run.name) end, "the program changed: hash",
    run.from .. ": the program changed")
  looks_whole(run, " that could not be resumed")
end

local function gone_on(run)
  local r = train.resume(run.name, {steps = 40, paused = true, force = run.changed})
  t.ok(r.step == 25 and r:hash() == run.stopped, run.from .. ": resumed with the bits it had",
    r.step .. " " .. r:hash())
  r:resume():wait()
  t.ok(r.step == 40 and r:hash() == run.resumed, run.from .. ": goes on", r.step .. " " .. r:hash())
  r:rewind(12)
  t.ok(r.step == 12 and r:hash() == run.rewound, run.from .. ": rewound", r.step .. " " .. r:hash())
  r:close()
end

for _, run in ipairs(RUNS) do
  fresh(run)
  listed(run)
  replayed(run)
  exported(run)
  if run.changed then refused(run) end
  gone_on(run)
end

t.done()

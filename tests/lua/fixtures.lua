-- Runs of older programs (tests/fixtures) are opened: listed, replayed, resumed, rewound, exported;
-- with the bits that they had.  TAP.  Each case works on a copy in the folder that tests/scratch.sh
-- made.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local engine = require "switchyard.engine"
local folder, fixtures = engine.runs_dir(), (os.getenv "srcdir" or ".") .. "/tests/fixtures/"

local NORMS = "grad_norm:norm grad_norm.1:norm grad_norm.embed_tokens:norm "
  .. "grad_norm.experts.1:expert_norm/4 grad_norm.lm_head:norm grad_norm.norm:norm "
  .. "grad_norm.router.1:router_norm"
local TRAINER = "loss:loss lr:rate time.compute:seconds time.data:seconds "
  .. "time.optimizer:seconds tok_s:speed tokens:tokens val_loss:val_loss"
local MIXTURE = "balance.1:balance entropy.1:entropy load.1:load/4 z.1:z"
local GATES = "confidence.1:confidence gate.1:gate/4 gate_entropy.1:gate_entropy"

-- resumed: at step 40; rewound: from there to step 12, which no checkpoint has.
-- changed: what the program computes was changed since, so going on is refused until it is forced.
-- series: name:kind/width of each that has rows.  load: of the last step.
local RUNS = {
  {name = "of-0.1", from = "0.1", stopped = "f8c4ffd0ab1349e4", resumed = "b9aac30d7daaf4f7",
   rewound = "bc175c6d9b0b892c", loss = 4.1012330055237, val_loss = 4.1048449575901,
   load = "2 0 0.75 1.25", series = {NORMS, TRAINER, MIXTURE, GATES, "bias.1:bias"},
   journal = "3 set, 5 set, 9 input, 12 config, 14 input, 16 freeze, 18 note"},
  {name = "old-2", from = "format-2", stopped = "6c9c131158921a41", resumed = "ce9f62493a3cc3d1",
   rewound = "8db21206735ab5cb", loss = 4.1128044128418, val_loss = 4.1192374229431,
   load = "0.9165 0 1.375 1.708", series = {NORMS, TRAINER, MIXTURE, GATES},
   journal = "3 set, 5 set, 9 input, 14 input, 16 freeze"},
  {name = "old-1", from = "format-1", stopped = "6c9c131158921a41", resumed = "ce9f62493a3cc3d1",
   rewound = "8db21206735ab5cb", changed = true, loss = 4.1128044128418, val_loss = 4.1192374229431,
   load = "0.9165 0 1.375 1.708", series = {TRAINER, "grad_norm:norm", MIXTURE},
   journal = "3 set, 5 set, 9 input, 14 input, 16 freeze"},
}

local function fresh(run)
  assert(os.execute(
    ("mkdir -p '%s' && rm -rf '%s/%s' && cp -R '%s%s' '%s/%s' && chmod -R u+w '%s/%s'")
    :format(folder, folder, run.name, fixtures, run.from, folder, run.name, folder, run.name)))
end

local function child(arguments) return (t.child(arguments)) end

local function words(list)
  table.sort(list)
  return table.concat(list, " ")
end

-- What the stored run says of itself.
local function looks_whole(run, when)
  local s, found, journal, want = runs(run.name), {}, {}, {}
  local function is(got, wanted, what) t.is(got, wanted, run.from .. what .. when) end
  t.ok(s.state == "stopped" and s.step == 25, run.from .. ": the stored run" .. when, tostring(s))
  for name, of in pairs(s._store:series()) do
    if of.rows > 0 then
      found[#found + 1] = name .. ":" .. of.kind .. (of.width > 1 and "/" .. of.width or "")
    end
    t.is(of.layer, tonumber(name:match "%.(%d+)$") or 0, run.from .. ": the layer of " .. name)
  end
  for word in table.concat(run.series, " "):gmatch "%S+" do want[#want + 1] = word end
  is(words(found), words(want), ": its series and their kinds")
  for i, e in ipairs(s:journal()) do journal[i] = e.step .. " " .. e.kind end
  is(table.concat(journal, ", "), run.journal, ": its journal")
  is(("%.13f %.13f"):format(s.loss, s.val_loss), ("%.13f %.13f"):format(run.loss, run.val_loss),
    ": its losses")
  local history = s:history "loss"
  is(history.shape[1] .. " " .. history[25][1]:item(), "25 25.0", ": steps of the loss")
  t.near(history[25][2]:item(), run.loss, 1e-12, run.from .. ": the last of them" .. when)
  local load, last = s:history "load.1", {}
  for e = 1, 4 do last[e] = ("%.4g"):format(load[load.shape[1]][1 + e]:item()) end
  is(table.concat(last, " "), run.load, ": the loads of the last step")
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

-- Refused, by name; the run is what it was, and of the version that it was.
local function refused(run)
  local function stored() -- and what waits in the log, while a reader has it open
    local bytes = ""
    for _, ending in ipairs {"", "-wal"} do
      local f <close> = io.open(("%s/%s/run.sqlite%s"):format(folder, run.name, ending), "rb")
      bytes = bytes .. (f and f:read "a" or "")
    end
    return bytes
  end
  local before = stored()
  t.raises(function() train.resume(run.name) end, "the program changed: hash",
    run.from .. ": the program changed")
  t.ok(stored() == before, run.from .. ": nothing was written")
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

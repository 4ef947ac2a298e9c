-- What others do to a run's files: another run's state in them, links that lead elsewhere, files
-- and folders that are deleted, moved or cut while it trains.  Nothing of another run is taken for
-- its own, nothing is written or deleted elsewhere, and nothing is lost without a word.  TAP.  Runs
-- go to the folder that tests/scratch.sh made.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"
local folder = engine.runs_dir()

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

local function make() return small.moe {vocab = d.vocab} end

-- A run, paused at `step` of 40.
local function run(name, step, m, more)
  local r = train(m or make(), d, t.with({steps = 40, batch = 2, lr = 3e-3, warmup = 2,
    eval_every = 10, eval_batches = 1, checkpoint_every = 10, name = name, paused = true}, more))
  if step > 0 then r:steps(step):wait() end
  return r
end

local function child(arguments, runs_in) return t.child(arguments, {runs = runs_in}) end

local function sh(command, ...)
  command = command:gsub("RUNS", folder):format(...)
  if not os.execute(command) then print("# failed: " .. command) end
end

local function put(path, text) t.write(folder .. "/" .. path, text) end

local function get(path)
  local f = io.open(folder .. "/" .. path)
  local text = f and f:read "a"
  if f then f:close() end
  return text
end

local function alarm(r)
  r._store:flush()
  r._store:flush() -- the first tells of it
  for _, a in ipairs(r:alarms()) do
    if a.name == "record" and a.on then return a.text end
  end
  return ""
end

-- Flush until nothing is wrong, as its thread does each second.
local function until_fine(r)
  return t.poll(function() return r._store:flush() and alarm(r) == "" end)
end

-- ---- identity ----

local a = run("a", 40)
local hash = a:hash()
a:close()

do
  local b = run("b", 12)
  local config = engine.json(b._store:info().config)
  t.ok(#config.id == 32 and config.id:find "^%x+$", "a run has an id of 128 bits")
  t.ok(get "b/lock":find(config.id, 1, true), "it is in its lock")
  b:close()
  for _, c in ipairs(engine.checkpoints(folder .. "/b", true)) do
    t.ok(c.ok and c.id == config.id, "and in its checkpoint of step " .. c.step)
  end
  t.ok(engine.json(runs "a".config and runs "a"._store:info().config).id ~= config.id,
    "another run has another")
  sh "cp -r RUNS/a/step-000040 RUNS/b/"
  for _, command in ipairs{"resume b", "replay b", "generate b", "export b RUNS/x"} do
    local text, code = child((command:gsub("RUNS", folder)))
    t.ok(code == 1 and text:find "b/step%-000040 belongs to another run" and not text:find "\n.",
      command .. ": another's checkpoint is refused by name", text)
  end
  sh "rm -r RUNS/b/step-000040; cp -r RUNS/a/step-000040 RUNS/b/step-000030"
  t.ok(child "resume b":find "resumed at step 12", "one of another step, too, is not its own")
  sh "rm -rf RUNS/b/step-000030; mkdir -p RUNS/b/start; cp -r RUNS/a/step-000040 RUNS/b/start/"
  local text = child "replay b"
  t.ok(text:find "belongs to another run", "nor is a start/ that is another's", text)
end

do -- what a dead fork left where a new run is made
  sh "mkdir -p RUNS/c RUNS/.e.new/start; cp -r RUNS/a/step-000040 RUNS/c/step-000040"
  sh "cp -r RUNS/a/step-000040 RUNS/.e.new/start/"
  t.refuses(function() run("c", 0) end, "a directory that holds no run is not taken",
    "c exists already")
  sh "rm -r RUNS/c/step-000040; mkdir RUNS/c/start"
  sh "mv RUNS/.e.new/start/step-000040 RUNS/c/start/"
  sh "mkdir RUNS/.e.new/start/x"
  t.refuses(function() run("c", 0) end, "nor one with a start/ alone", "holds no run")
  sh "rm -r RUNS/c; mkdir RUNS/c"
  local c, e = run("c", 3), run("e", 3)
  t.ok(not get ".e.new/lock" and not get "e/start/x",
    "what a death left of a creation is cleared away")
  c:close()
  e:close()
  t.ok(child "replay e":find "identical through step 3", "and the run begins where it should")
end

do -- a run that was made before runs had ids
  local r = run("none", 0, nil, {save = true})
  local index = debug.getmetatable(r._store).__index
  local id = index.id
  r:close()
  index.id = function() end
  r = run("before", 12)
  index.id = id
  r:close()
  t.is(engine.checkpoints(folder .. "/before")[1].id .. tostring(runs "before".config.id), "nil",
    "made as before")
  r = train.resume("before", {steps = 15}):wait()
  t.is(r.step .. r:rewind(5).step, "155", "it is resumed and rewound")
  r:fork{name = "after"}:wait():close()
  r:close()
  t.ok(child "replay before":find "identical" and child "replay after":find "identical",
    "it and its fork replay")
  sh "cp -r RUNS/a/step-000040 RUNS/before/"
  t.ok(child "resume before":find "belongs to another run",
    "another's checkpoint is refused there, too")
end

do -- a copy of a run is a run
  sh "cp -r RUNS/a RUNS/copy"
  local r = train.resume("copy", {steps = 42}):wait()
  t.is(r.step, 42, "a copy of a run is resumed")
  local f = r:fork{name = "forked", step = 38}:wait()
  r:close()
  f:close()
  t.ok(child "replay forked":find "identical through", "its fork has a start of its own")
  local own = engine.json(runs "forked"._store:info().config).id
  t.is(engine.checkpoints(folder .. "/forked/start")[1].id, own,
    "which bears the fork's id, though its tensors are links")
end

do -- a live run's directory is deleted, and a new run has its name
  local script = [[
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab,
      experts = 4, top_k = 2, expert_dim = 16}
    r = train(m, d, {name = "x", steps = 20, batch = 2, checkpoint_every = 10,
      paused = arg[1] ~= nil})
    if not arg[1] then r:wait() quit() end
    r:steps(5):wait()
    os.execute(arg[1])
    r:steps(15):wait()
    print("checkpoint", r:checkpoint())
    r._store:flush() r._store:flush()
    for _, a in ipairs(r:alarms()) do if a.on then print("alarm", a.name, a.text) end end
    quit(0)]]
  put("../x.lua", script)
  local text, code = child(folder .. "/../x.lua", folder .. "/../elsewhere")
  t.ok(code == 0, "another run of its name", text)
  local had = child("-e 'print(replay \"x\".hash)'", folder .. "/../elsewhere")
  text, code =
    child(("%s/../x.lua 'cd %s; mv x ../trash; mv ../elsewhere/x x; until rm -rf ../trash; do "
    .. ":; done'")
    :format(folder, folder))
  t.ok(text:find "checkpoint\tnil\tcheckpoint: cannot", "the first cannot save", text)
  -- the directory, or a file in it while the rest is being deleted
  t.ok(text:find "alarm\trecord\t[^\n]*/x[%w./-]* was deleted" or
    text:find "alarm\trecord\t[^\n]*x was moved", "it is told", text)
  t.ok(code == 1 and text:find "%[x%] not saved: ", "and the status is 1, after a line")
  t.is(child "-e 'print(replay \"x\".hash)'", had, "the second is as it was, its log and all")
  t.is(#engine.checkpoints(folder .. "/x"), 2, "with its own checkpoints alone")
end

-- ---- links ----

do
  local r = run("links", 12)
  r:close()
  sh "mkdir -p RUNS/../else; echo mine > RUNS/../else/file; rm -f RUNS/links/lock"
  sh "ln -s RUNS/../else/file RUNS/links/lock"
  local text, code = child "resume links"
  t.ok(code == 1 and text:find "links/lock: it is a symbolic link",
    "a lock that is a link: " .. text)
  t.is(get "../else/file", "mine\n", "what it leads to is untouched")
  sh "rm RUNS/links/lock; ln -s RUNS/../else RUNS/links/undo"
  text, code = child "resume links"
  t.ok(code == 1 and text:find "links/undo.*symbolic link", "undo that is a link: " .. text)
  sh "rm RUNS/links/undo; ln -s RUNS/../else RUNS/links/step-000020.tmp"
  r = train.resume("links", {paused = true})
  r:steps(10):wait()
  local ok, why = r:checkpoint()
  t.ok(ok, "a link in the way of another step's checkpoint is left alone: " .. tostring(why))
  t.ok(#r:events() > 0 and get "../else/file" == "mine\n",
    "nothing of what it leads to was deleted")
  sh "ln -s RUNS/../else RUNS/links/undo"
  t.refuses(function() r:rewind(20) end, "a rewind refuses undo as well", "undo", "symbolic link")
  sh "rm RUNS/links/undo"
  sh("mkdir RUNS/../else/2; echo x > RUNS/../else/2/y; ln -s RUNS/../else/2 "
    .. "RUNS/links/step-%06d.tmp", r.step + 1)
  r:steps(1):wait()
  ok, why = r:checkpoint()
  t.ok(not ok and why:find "is a symbolic link, and is left alone",
    "a link in its way is refused: " .. tostring(why))
  t.is(get "../else/2/y", "x\n", "and not followed")
  sh("rm RUNS/links/step-%06d.tmp", r.step)
  t.ok(r:checkpoint(), "without it, it is saved")
  r:close()
  sh "mv RUNS/links RUNS/../else/links; ln -s RUNS/../else/links RUNS/links"
  t.is(train.resume("links", {steps = 41}):wait().step, 41,
    "a run whose directory is a link, to another disk, is resumed")
  runs "links":close()
  sh "rm -f RUNS/b/run.sqlite-wal; ln -s RUNS/../else/file RUNS/b/run.sqlite-wal"
  t.refuses(function() runs "b" end, "a log that is a link", "run.sqlite-wal is a symbolic link")
  sh "rm RUNS/b/run.sqlite-wal; mkfifo RUNS/b/run.sqlite-wal"
  t.refuses(function() runs "b" end, "or a named pipe", "run.sqlite-wal is not a regular file")
  sh "rm RUNS/b/run.sqlite-wal"
end

-- ---- while it is live ----

local function whole(name, steps, what)
  local text, code = child("replay " .. name)
  t.ok(code == 0 and text:find("identical through step " .. steps .. "\n"),
    what .. ": it replays", text)
end

do
  local r = run("db", 5)
  r:note "before"
  os.remove(folder .. "/db/run.sqlite")
  r:steps(5):wait()
  r:note "after"
  t.ok(until_fine(r), "run.sqlite was deleted: the alarm ends when it has been written anew")
  t.is(#runs "db":journal(), 2, "with its journal")
  os.remove(folder .. "/db/run.sqlite-wal")
  r:steps(5):wait()
  t.ok(until_fine(r), "its log was deleted")
  r:steps(5):wait()
  os.remove(folder .. "/db/lock")
  r:steps(5):wait()
  t.ok(until_fine(r) and get "db/lock":find(r._config.id, 1, true),
    "its lock was deleted: it is taken anew")
  t.ok(child "resume db":find "is being written by process", "so nobody else writes")
  r:close()
  whole("db", 25, "files deleted")
end

-- What cannot be mended, each in a process of its own, for it ends with status 1: `act` is done
-- between steps 5, which are on the disk, and 10
-- of a run, whose alarms are looked at until one has the text.
local function unmended(name, act, alarm)
  put(name .. ".lua", ([[
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    local r = train(model.dense{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab,
      ffn_dim = 8}, d,
      {name = %q, paused = true, steps = 40, batch = 2, checkpoint_every = 10})
    r:steps(5):wait()
    r._store:flush()
    os.execute(%q)
    r:steps(5):wait()
    local function seen() return tostring(r:alarms()):find(%q, 1, true) end
    if dofile(%q).poll(seen) then print("SEEN") end
    r:steps(15):wait()
    print("SAVED", r:checkpoint())
  ]]):format(name, (act:gsub("RUNS", folder)), alarm,
    (os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua"))
  return child(folder .. "/" .. name .. ".lua")
end

do -- the lock of a run that another process holds, which stands still, put in place of ours
  put("holder.lua", ([[
    local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    local r = train(model.dense{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab,
      ffn_dim = 8}, d,
      {name = "holder", paused = true, steps = 5, batch = 2})
    print "ready" io.stdout:flush()
    while not io.open %q do sleep(0.02) end]]):format(folder .. "/stop"))
  local holder = io.popen(("'%s' -E --runs '%s-other' '%s/holder.lua' 2>&1"):format(t.program,
    folder, folder))
  for line in holder:lines() do if line == "ready" then break end end
  local lock = assert(io.open(folder .. "-other/holder/lock"))
  local pid = lock:read "a":match "%d+"
  lock:close()
  sh("kill -STOP " .. pid) -- it would take its own anew
  local text, code = unmended("twice", "mv RUNS-other/holder/lock RUNS/twice/lock",
    "nothing of it is written any more")
  sh("kill -CONT " .. pid)
  put("stop", "")
  holder:close()
  t.ok(text:find "SEEN" and code == 1,
    "the lock was deleted and another process has one: an alarm, status 1", text)
  t.ok(text:find "SAVED\tnil\tcheckpoint: another process writes run 'twice'",
    "no checkpoint is written any more", text)
  t.ok(not get "twice/step-000020/MANIFEST", "nor one that is due")
  local rows = child "log twice loss"
  t.ok(rows:find "\n5%s" and not rows:find "\n15%s", "nor rows", rows)
  sh "rm -rf RUNS-other"
end

do
  local text, code = unmended("cut", "truncate -s 0 RUNS/cut/run.sqlite",
    "run.sqlite was cut by another program")
  t.ok(text:find "SEEN" and code == 1, "a store that is cut where it lies: an alarm, status 1",
    text)
end

do
  local r = run("shm", 5)
  sh "truncate -s 0 RUNS/shm/run.sqlite-shm"
  r:steps(5):wait()
  t.ok(r._store:flush() and #r:events() > 0, "run.sqlite-shm was cut: neither SIGBUS nor an error")
  sh "truncate -s 1000 RUNS/shm/run.sqlite-shm"
  r:steps(5):wait()
  r:close()
  whole("shm", 15, "cut again, and closed")
end

do
  local r = run("old", 5)
  sh "mv RUNS/old RUNS/new"
  local told = alarm(r)
  t.ok(told:find "was moved to .*/new: it is written there", "its directory was moved: " .. told)
  r:steps(15):wait()
  t.ok(alarm(r):find "was moved", "the alarm stays as long as it is so")
  t.is(r:rewind(18).step, 18, "it is rewound there")
  t.ok(not get "old/run.sqlite" and not get "old/lock", "nothing is written under the old name")
  local text, code = child([[-e 'local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}
    train(model.moe{layers = 1, dim = 16, heads = 2, context = 16, vocab = d.vocab, experts = 4,
      top_k = 2, expert_dim = 16}, d, {name = "old", steps = 9, batch = 2})']])
  t.ok(code == 0, "the name is free for another", text)
  r:steps(3):wait()
  r:checkpoint()
  r:close()
  whole("new", 21, "moved")
  whole("old", 9, "and the other run")
end

do
  local m = make()
  local r = run("gone", 15, m)
  r:note "kept"
  sh "until rm -rf RUNS/gone; do :; done" -- its thread may just write a file anew that was deleted
  t.ok(alarm(r):find "was deleted", "its directory was deleted: " .. alarm(r))
  t.ok(until_fine(r) and get "gone/run.sqlite", "it is made anew")
  r:steps(5):wait()
  r:close()
  whole("gone", 20, "made anew")
  t.is(train.resume("gone", {steps = 22}):wait().step, 22, "and it is resumed")
  t.is(#runs "gone":journal(), 2, "its journal is whole")
  runs "gone":close()
end

do -- one that began with another's state, which is not known any more
  sh "rm -rf RUNS/a"
  local m = make()
  local r = run("first", 5, m)
  r:close()
  r = run("second", 5, m)
  sh "until rm -rf RUNS/second; do :; done"
  -- its thread finds out, though the run stands still
  t.poll(function() return get "second/lock" end)
  t.ok(until_fine(r), "made anew, too")
  local h = r:hash()
  r:close()
  r = train.resume("second", {paused = true})
  t.is(r:hash(), h, "a run without its start/ is resumed from its checkpoint")
  r:close()
  t.ok(child "replay second":find "is gone: there is no state to begin with",
    "and cannot be replayed, which is said")
end

-- ---- a run whose making was cut short ----

sh "mkdir RUNS/unfinished && : > RUNS/unfinished/run.sqlite"
t.raises(function() runs "unfinished" end, "run 'unfinished': its creation was not finished")
t.raises(function() runs "unfinishd" end, "unknown run 'unfinishd' (did you mean 'unfinished'?)")
t.raises(function() train.resume "unfinishd" end, "(did you mean 'unfinished'?)")
sh "rm -r RUNS/unfinished"

t.done()

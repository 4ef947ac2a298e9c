-- Alarms that act (lua/lab/alarms.lua): each condition on a run that has the fault, at the step
-- that plain numbers say, and on a twin without it; each action; the journal, replay, another
-- process; refusals.  TAP.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"
local ok, is, refuses, with = t.ok, t.is, t.refuses, t.with

local tok = tokenizer.bytes()
local d = small.words(4000, tok)
local number = 0

local function run_of(model_more, more)
  number = number + 1
  return train(small.moe(with({vocab = tok}, model_more)), d, with({steps = 200, batch = 2,
    eval_every = 0, name = "run-" .. number, paused = true}, more))
end

-- The steps at which an alarm of these words calls back, in a run to its end; the run.
local function fires(when, model_more, more)
  local r, steps, texts = run_of(model_more, more), {}, {}
  alarm(r, {when = when, run = function(run, a)
    steps[#steps + 1], texts[#texts + 1] = run.step, a.text
  end})
  r:resume():wait()
  return steps, r, texts
end

-- ---- each condition ----

nn.router("first_two", { -- of four experts the last two are never chosen
  gives = "",
  route = function(ctx)
    local experts = ctx:numbers():narrow(2, 1, 2):contiguous()
    return {experts = experts, gates = tensor.ones(ctx.N, 2) / 2}
  end,
})
nn.router("normalised", { -- one expert, and its gate over itself: no gradient
  route = function(ctx)
    local scores = ctx:logits():softmax(-1)
    local gates, experts = scores:topk(1, -1)
    return {experts = experts, gates = gates / gates:sum(-1, true), scores = scores}
  end,
})

local function mean_of(list, from, to)
  local sum = 0
  for i = from, to do sum = sum + list[i] end
  return sum / (to - from + 1)
end

-- First end of 128 steps by whose loads a test holds.
local function window_end(r, series, holds)
  local rows = t.series(r, series)
  for last = 128, #rows, 128 do
    local loads = {}
    for e = 1, type(rows[1]) == "table" and #rows[1] or 1 do
      local of = {}
      for i, row in ipairs(rows) do of[i] = type(row) == "table" and row[e] or row end
      loads[e] = mean_of(of, last - 127, last)
    end
    if holds(loads) then return last end
  end
end

local function dead(loads) return math.min(table.unpack(loads)) <= 0.01 end
local function collapsed(loads)
  table.sort(loads)
  return loads[4] + loads[3] > 0.9 * (loads[1] + loads[2] + loads[3] + loads[4])
end
local function overflows(share) return share[1] > 0.25 end

for _, case in ipairs {
  {"dead", "load.1", dead, {router = "first_two"}, {}},
  {"collapse", "load.1", collapsed, {router = "first_two"}, {}},
  {"overflow", "drop.1", overflows, {router = "switch", top_k = 1, capacity = {train = 0.5}},
    {router = "switch", top_k = 1}},
} do
  local word, series, holds, fault, clean = table.unpack(case)
  local steps, r = fires(word, fault)
  is(#steps == 1 and steps[1], window_end(r, series, holds), word .. ": at the end of the window")
  r:close()
  steps, r = fires(word, clean)
  ok(#steps == 0 and not window_end(r, series, holds), word .. ": not in a healthy run")
  r:close()
end

-- Loss and its best, smoothed; first step at which it holds.
local function smoothed(r, decay, holds)
  local level, weight, best, since = 0, 0, math.huge, 0
  for step, loss in ipairs(t.series(r, "loss")) do
    level, weight = decay * level + loss, decay * weight + 1
    local now = level / weight
    if now <= best * (decay == 0.99 and 0.998 or 1) then best, since = now, step end
    if holds(now, best, since, step) then return step end
  end
end

local function diverges()
  local row = 0
  return function(now, best)
    row = now - best > math.max(1, (math.log(tok.size) - best) / 2) and row + 1 or 0
    return row >= 32
  end
end
local function stands_still(_, _, since, step)
  return step - since >= 1000 and step - since >= step // 4
end

do
  local wild = {lr = 3, schedule = "constant", clip = 0, skip_sigma = 0}
  local steps, r = fires("divergence", nil, wild)
  ok(#steps == 1 and math.abs(steps[1] - smoothed(r, 0.95, diverges())) <= 1,
    "divergence: 32 steps above", table.concat(steps, " "))
  r:close()
  steps, r = fires("plateau", nil, {lr = 1e-9, schedule = "constant", steps = 1100})
  is(#steps == 1 and steps[1], smoothed(r, 0.99, stands_still), "plateau: 1,000 steps no better")
  r:close()
  steps, r = fires({"divergence", "plateau"}, nil, {steps = 1100, lr = 1e-3})
  ok(#steps == 0 and not smoothed(r, 0.95, diverges()) and not smoothed(r, 0.99, stands_still),
    "neither in a healthy run")
  r:close()
end

do
  local function no_gradient(r)
    local row, all = 0, t.series(r, "grad_norm")
    for step, v in ipairs(t.series(r, "grad_norm.router.1")) do
      row = v <= 1e-6 * all[step] and row + 1 or 0
      if row == 32 then return step end
    end
  end
  local fault = {router = "normalised", top_k = 1, balance = {aux = 0, z = 0}}
  local steps, r, texts = fires("no router gradient", fault)
  is(#steps == 1 and steps[1], no_gradient(r), "no router gradient: 32 steps in a row")
  ok(texts[1]:find("layer 1", 1, true), "... and where", texts[1])
  r:close()
  steps, r = fires("gradient", {router = "switch", top_k = 1})
  ok(#steps == 0 and not no_gradient(r), "not where the gate is not normalised")
  r:close()
  r = run_of(fault)
  r.layers[1].router:freeze()
  local a = alarm(r, {when = "gradient", run = "bell"})
  r:resume():wait()
  is(a.fired, 0, "nor where the router is frozen")
  r:close()
end

nn.router("blown", { -- gates are infinite where r.blow is
  gives = "",
  route = function(ctx)
    local blow = nn.input("blow", 1, 0, 1e30)
    local experts = ctx:numbers():narrow(2, 1, 2):contiguous()
    return {experts = experts, gates = tensor.ones(ctx.N, 2) * blow * blow / 2}
  end,
})

do
  local r = run_of({router = "blown"}, {steps = 60})
  local seen, text
  alarm(r, {when = "not finite", run = function(run, a) seen, text = run.step, a.text end})
  alarm(r, {when = function(run) return run.step == 40 end, run = {set = {blow = 1e30}}})
  alarm(r, {when = function(run) return run.step == 42 end, run = {set = {blow = 1}}})
  r:resume():wait()
  local first
  for _, row in ipairs(r:history "skipped":table()) do
    if row[2] == 3 then first = first or row[1] end
  end
  is(first, 41, "an input that is set after step 40 holds in step 41")
  is(seen, first, "not finite: at the step that was skipped")
  is(r.state, "done", text)
  r:close()
end

-- ---- functions, episodes ----

do
  local r, steps = run_of(), {}
  local a = alarm(r, {when = function(run) return run.step % 10 == 0 or run.step > 100 end,
    again = 10, run = function(run) steps[#steps + 1] = run.step end})
  local b = alarm(r, {when = function(run) return run.step > 50 and "beyond 50" end, every = 20,
    run = "pause", name = "far"})
  alarm(r, {when = function(run) return run.step % 7 == 0 end, run = "bell", again = 7})
  r:resume():wait()
  is(r.step, 60, "a function is asked every n steps, and the run pauses at that very step")
  is(r.state, "paused", "paused")
  is(("%d %d %s"):format(b.fired, b.last, b.text), "1 60 beyond 50", "an alarm says what it did")
  is(tostring(alarms(r)[2]), "alarm of run " .. r.name .. ": far: "
    .. tostring(alarms(r)[2]):match "far: (.-:%d+)" .. ", every 20 steps: pause; "
    .. "acted: 1 time, last at step 60", "and is printed")
  r:resume():wait()
  is(table.concat(steps, " "), "10", "again when it has been quiet for as long as it says")
  is(alarms(r)[3].fired, 1, "quiet for 6 steps is not 7")
  a:remove()
  a:remove()
  is(#alarms(r), 2, "removed")
  ok(tostring(a):find("(removed)", 1, true), "and says so")
  r:close()
end

do
  local r, steps = run_of(), {}
  alarm(r, {when = function(run) return run.step % 10 == 0 end, again = 8,
    run = function(run, a)
      steps[#steps + 1] = run.step
      if a.fired == 3 then a:remove() end
    end})
  r:resume():wait()
  is(table.concat(steps, " "), "10 20 30", "removed from within")
  r:close()
end

do -- errors
  local r = run_of()
  alarm(r, {when = function(run) if run.step > 5 then error "oops" end end, run = "pause"})
  alarm(r, {when = function(run) return run.step == 9 end, run = {function() error "no" end,
    {set = {lr = 5e-4}}}})
  r:resume():wait()
  is(("%d %s %g"):format(r.step, r.state, r.lr), "200 done 0.0005", "an error, and the run goes on")
  local told, who = {}, {}
  for _, e in ipairs(r:journal()) do
    if e.kind == "hook" then told[#told + 1] = e.text end
    who[e.kind] = e.who
  end
  is(#told, 2, "each is told once")
  ok((who.set or ""):find("alarm ", 1, true) and #who.set <= 47 and who.alarm == who.set,
    "the journal says which alarm set what", tostring(who.set))
  ok(told[1]:find("oops", 1, true) and told[1]:find(('alarms("%s")[1]:remove()'):format(r.name), 1,
    true), "which alarm, and how it is taken away", told[1])
  r:close()
end

-- one that the other's action removes at the same border acts no more
do
  local r, acted, second = run_of {router = "first_two"}, {}, nil
  alarm(r, {when = "dead", run = function() acted[#acted + 1] = "first" second:remove() end})
  second = alarm(r, {when = "dead", run = function() acted[#acted + 1] = "second" end})
  r:resume():wait()
  is(table.concat(acted, " "), "first", "an alarm that was removed does not act")
  r:close()
end

-- ---- actions, journal, replay ----

do
  local out = t.scratch "told"
  local r = run_of(nil, {name = "acts", save = true, checkpoint_every = 0})
  alarm(r, {when = function(run) return run.step == 80 end, run = "checkpoint"})
  alarm(r, {when = function(run) return run.step == 33 and "now" end, run = {
    {set = {lr = 5e-4, clip = 0.5}}, {shell = ("echo $SWITCHYARD_RUN $SWITCHYARD_STEP "
    .. "$SWITCHYARD_ALARM $SWITCHYARD_TEXT > %s"):format(out)}}, name = "third"})
  local rewound
  alarm(r, {when = function(run) return run.step == 90 and not rewound end, run = {"rewind",
    function(run) rewound = run.step end, {set = {clip = 0.25}}}, name = "back"})
  r:resume():wait()
  is(("%d %s"):format(r.step, r.state), "200 done", "rewound, and the run went on")
  is(rewound, 80, "rewind: to the newest checkpoint before")
  is(("%g %g"):format(r.lr, r.clip), "0.0005 0.25", "set, before and after it")
  local list = {}
  for _, e in ipairs(r:journal()) do list[#list + 1] = e.step .. " " .. e.kind end
  is(table.concat(list, ", "), "33 alarm, 33 set, 33 set, 80 alarm, 80 rewind, 80 set",
    "the journal: who did it, and what it changed")
  local saved = {}
  for _, e in ipairs(r:events()) do saved[#saved + 1] = e.kind .. " " .. e.step end
  ok(table.concat(saved, ", "):find("checkpoint 80", 1, true), "a checkpoint of that step")
  local text = t.poll(function()
    local got = engine.file_read(out)
    return got and got:find "\n" and got
  end)
  is(text, "acts 33 third now\n", "a command, and what it is told")
  local hash = r:hash()
  r:close()
  ok(replay "acts".identical, "replayed without alarms: the same bits", tostring(replay "acts"))
  local again = train.resume "acts"
  again:wait()
  is(again:hash(), hash, "resumed: the same")
  is(#alarms(again), 0, "those with a function are not set again")
  again:close()
end

do -- {rewind = step}, pause behind it
  local r = run_of(nil, {save = true})
  alarm(r, {when = function(run) return run.step == 50 end, run = {{rewind = 7}, "pause"}})
  r:resume():wait()
  is(("%d %s"):format(r.step, r.state), "7 paused", "rewind to a step, and stay there")
  r:resume():wait()
  is(r.step, 200, "what comes back soon does not act again")
  r:close()
end

do -- another process
  local r = run_of({router = "first_two"}, {name = "kept", save = true, steps = 100})
  alarm(r, {when = {"dead", "plateau"}, run = {"pause", {set = {lr = 5e-5}}}, name = "mine"})
  alarm(r, {when = "overflow", run = function() end})
  alarm(r, {when = "overflow", run = "bell"}):remove()
  r:resume():wait()
  r:close()
  r = train.resume("kept", {steps = 300})
  is(#alarms(r), 1, "an alarm of words is set again")
  is(alarms(r)[1].name, "mine", "by its name")
  r:wait()
  is(("%s %d %g"):format(r.state, (r.step - 100) // 128 * 128 + 100, r.lr), "paused 228 5e-05",
    "and acts: 128 steps after the resume")
  r:close()
end

do -- killed
  local script = t.write(t.scratch "killed.lua", ([[
    local tok = tokenizer.bytes()
    local m = model.moe{layers = 1, dim = 16, heads = 2, context = 16, experts = 4, top_k = 2,
                        expert_dim = 16, vocab = tok}
    local d = data.string(("the quick brown fox "):rep(400), {tokenizer = tok})
    local r = train(m, d, {steps = 1000, batch = 2, eval_every = 0, name = "killed", paused = true,
                           checkpoint_every = 10})
    alarm(r, {when = "plateau", run = {{set = {lr = 1e-5}}, "bell"}, again = 7})
    alarm(r, {when = function(run) return run.step == 30 end, run = {set = {clip = 0.5}}})
    every(r, 60, function()
      r._store:flush() -- steps of this size are faster than a disk
      io.popen("kill -9 $PPID"):read "a"
      sleep(60)
    end)
    r:resume():wait()
  ]]))
  t.child("'" .. script .. "'")
  local r = train.resume("killed", {paused = true})
  is(#alarms(r), 1, "killed: the alarm of words is set again")
  is(("%d %s"):format(alarms(r)[1].again, alarms(r)[1].name), "7 plateau", "as it was")
  is(r.clip, 0.5, "what the other one did is in the journal")
  r:close()
  ok(replay "killed".identical, "and is replayed")
end

-- ---- refusals ----

do
  local r = run_of(nil, {save = false})
  for _, case in ipairs {
    {{when = "ded", run = "pause"}, "unknown condition 'ded'", "'dead'"},
    {{when = "dead", run = "pausse"}, "unknown action 'pausse'", "'pause'"},
    {{when = "dead", run = "call"}, "unknown action 'call'"},
    {{run = "pause"}, "when is missing"},
    {{when = "dead"}, "run is missing"},
    {{when = {}, run = "pause"}, "when must be"},
    {{when = 3, run = "pause"}, "when must be a condition's name, got number"},
    {{when = {"dead", 3}, run = "pause"}, "when[2] must be"},
    {{when = "dead", run = {}}, "does nothing"},
    {{when = "dead", run = 3}, "got number"},
    {{when = "dead", run = "pause", every = 2}, "every has no effect"},
    {{when = "dead", run = "pause", again = -1}, "again must be"},
    {{when = "dead", runs = "pause"}, "unknown option 'runs'", "'run'"},
    {{when = "dead", run = "checkpoint"}, "no directory (save = false)"},
    {{when = "dead", run = "rewind"}, "no directory"},
    {{when = "dead", run = "set"}, "action 'set' takes a table"},
    {{when = "dead", run = {set = {}}}, "no effect"},
    {{when = "dead", run = {set = {lrr = 1}}}, "unknown field 'lrr'", "'lr'"},
    {{when = "dead", run = {set = {lr = "x"}}}, "lr takes a number"},
    {{when = "dead", run = {set = {lr = -1}}}, "lr"},
    {{when = "dead", run = {shell = " "}}, "takes a command"},
    {{when = "dead", run = {shell = 3}}, "shell must be a string"},
    {{when = "dead", run = {pause = 3}}, "takes nothing"},
  } do
    local given = case[1]
    refuses(function() alarm(r, given) end, case[2], "alarm: ", table.unpack(case, 2))
  end
  refuses(function() alarm(3, {when = "dead", run = "pause"}) end, "no run", "must be a live run")
  r:steps(20):wait()
  refuses(function() alarm(r, {when = "dead", run = {set = {steps = 10}}}) end, "too few steps",
    "the run is at step 20 already")
  is(#alarms(r), 0, "none of them is set")
  is(tostring(alarms(r)), "no alarm acts on run " .. r.name, "which says so")
  r:close()
  r = run_of(nil, {save = true})
  refuses(function() alarm(r, {when = "dead", run = {"rewind", "rewind"}}) end, "twice",
    "an alarm rewinds once")
  refuses(function() alarm(r, {when = "dead", run = {rewind = -1}}) end, "no step", "is no step")
  r:close()
end

t.done()

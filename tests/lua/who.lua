-- Who did it: each entry of a journal says so, wherever it is read or done again, and whatever else
-- runs meanwhile.  TAP.  Runs go to the folder that tests/scratch.sh made.

local t = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/tap.lua")
local small = dofile((os.getenv "srcdir" or ".") .. "/tests/lua/small.lua")
local engine = require "switchyard.engine"
local acting = require "switchyard.core.acting"
local as = acting.as

local d = data.synthetic{domains = 4, tokens = 20000, seed = 1}

-- One of every way into the journal: wishes, inputs, a plan, surgery, notes.
local function interventions(r, step)
  if step == 2 then as("alarm dead", function() r.lr = 4e-3 end) end
  if step == 3 then r.lr = 2e-3 end
  if step == 4 then as("socket: a", function() r.batch = 3 end) end
  if step == 5 then as("socket: b", function() r.layers[1].experts[2]:disable() end) end
  if step == 6 then as("socket: a", function() r.layers[1].experts[3]:reset() end) end
  if step == 7 then as("socket: b", function() r.top_k = 1 end) end
  if step == 8 then as("socket: c", function() r.layers[1].experts[1]:freeze() end) end
  if step == 9 then as("socket: c", function() r.schedule = "linear" end) end
  if step == 10 then as("socket: d", function() r:note "a note" end) end
  if step == 11 then r:note "mine" end
end

local WANT = "2 set alarm dead; 3 set ; 4 set socket: a; 5 input socket: b; 6 reset socket: a; "
  .. "7 config socket: b; 8 freeze socket: c; 9 schedule socket: c; 10 note socket: d; 11 note "

local function of(journal, last)
  local list = {}
  for _, e in ipairs(journal) do
    if e.step <= (last or math.huge) then
      list[#list + 1] = ("%d %s %s"):format(e.step, e.kind, e.who)
    end
  end
  return table.concat(list, "; ")
end

local r = small.run(small.moe{vocab = d.vocab}, d, {steps = 16, batch = 2, warmup = 1, name = "who",
  checkpoint_every = 6, eval_every = 8, eval_batches = 1}, interventions)
t.is(of(r:journal()), WANT, "each entry says who did it")
t.is(of(runs "who":journal()), WANT, "and so in the store")
local text = tostring(r:journal())
t.ok(text:find "step%s+who%s+kind" and text:find("alarm dead", 1, true), "it is shown", text)
local hash = r:hash()

local child = r:fork{name = "child", step = 9, paused = true}
t.is(of(child:journal()), of(r:journal(), 8), "a fork's journal is of the same people")
as("the person's agent", function() child.lr = 5e-3 end)
child:steps(1):wait()
local journal = child:journal()
t.is(journal[#journal].who, "the person's agent", "and goes on with others")
child:close()

as("socket: rewinds", function() r:rewind(9) end)
t.is(of(r:journal()), of(r:journal(), 8),
  "rewound by somebody: what is done again stays whose it was")
t.is(of(r:journal()), WANT:match "^(.-; 8 freeze socket: c)", "all of them")
as("socket: c", function() r.schedule = "linear" end) -- its hook is behind us
r:resume():wait()
t.is(of(r:journal()), WANT, "and again")
t.is(r:hash(), hash, "to the same bits")
local same = replay "who"
t.ok(same, "replayed", tostring(same))
r:close()

local back = as("agent", function() return train.resume("who", {paused = true}) end)
t.is(of(back:journal(), 15), WANT, "resumed by somebody: likewise")
t.is(back:hash(), hash, "with the same bits")

-- ---- whose it is while others run ----

back.steps = 40
as("outer", function()
  t.is(engine.acting(), "outer", "who acts")
  t.refuses(function() as("inner", error, "fails", 0) end, "an error passes", "fails")
  t.is(engine.acting(), "outer", "and ends the name")
  local co = coroutine.wrap(function() as("inner", coroutine.yield, 1) return engine.acting() end)
  co()
  engine.acting "outer"
  t.is(co(), "outer", "a coroutine that is left ends its name when it goes on")
  local hook
  every(back, 1, function(self)
    if hook then return end
    hook = engine.acting()
    self.lr = 1e-4
  end)
  back:steps(3):wait()
  t.is(hook, "", "a hook that is served meanwhile is nobody's")
  t.is(engine.acting(), "outer", "who waited acts on")
end)
t.is(engine.acting(), "", "at the end nobody does")
journal = back:journal()
t.is(journal[#journal].key .. journal[#journal].who, "lr", "what the hook did is not the waiter's")
t.refuses(function() engine.acting(("x"):rep(48)) end, "a name that is too long",
  "acting: a name has at most 47 bytes, none of them 0: it has 48")
t.refuses(function() engine.acting "a\0b" end, "a NUL in it", "none of them 0")
back:note "\27[31m"
as("\27]0;evil\7", function() back:note "signed" end)
t.ok(not tostring(back:journal()):find "[\27\7]", "a name is shown without what a terminal obeys")
back:close()

t.done()

-- Bake-offs: equal budgets, what is added by itself, the tables from the runs' own histories, going
-- on after kills, refusals, files.  TAP.

local engine = require "switchyard.engine"
local lab = require "switchyard.lab.bakeoff"
local results = require "switchyard.lab.bakeoff_results"
local t = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")

local MODEL = {layers = 1, dim = 8, heads = 1, context = 8, experts = 4, expert_dim = 8}
local d = data.synthetic{domains = 2, tokens = 8000, seed = 1}

local function spec(more)
  return t.with({routers = {"switch", "softmax"}, data = d, model = MODEL,
                 train = {batch = 4, lr = 5e-3, warmup = 2}, budget = {tokens = 640}, seeds = 2,
                 points = 4, eval_batches = 1, name = "first"}, more)
end

-- What print says meanwhile.
local function printed(f, ...)
  local own = t.globals_of(lab.methods.table)
  local lines, before = {}, own.print
  own.print = function(...) lines[#lines + 1] = table.concat({...}, "\t") end
  local results_of = table.pack(pcall(f, ...))
  own.print = before
  assert(results_of[1], results_of[2])
  return table.concat(lines, "\n"), table.unpack(results_of, 2, results_of.n)
end

local function exact(v) return v == nil and "-" or ("%.17g"):format(v) end

-- All that does not depend on the clock, as a text.
local function losses(b)
  local lines = {}
  for _, row in ipairs(b.rows) do
    local parts = {row.entrant}
    for _, name in ipairs {"loss", "deviation", "best", "steps", "tokens", "flops", "max_mean",
                           "max_vio", "drop", "dead"} do
      parts[#parts + 1] = name .. " " .. exact(row[name])
    end
    for _, p in ipairs(row.curve) do parts[#parts + 1] = p.step .. " " .. exact(p.loss) end
    for _, r in ipairs(row.ratios) do parts[#parts + 1] = exact(r.loss) .. " " .. exact(r.flops) end
    lines[#lines + 1] = table.concat(parts, ", ")
  end
  return table.concat(lines, "\n")
end

-- ---- the entrants, and what each may use ----

local plan, b = printed(bakeoff, spec())
local labels = {}
for i, row in ipairs(b.rows) do labels[i] = row.entrant end
t.is(table.concat(labels, " "), "dense-active dense-total switch softmax hash random",
  "both dense models and the controls are added")
t.ok(plan:find("bake-off first in " .. engine.runs_dir() .. "/first: 6 entrants, 2 seeds", 1, true)
  and plan:find "expected: ", "the plan says how many runs, where, and how long", plan)
for _, row in ipairs(b.rows) do
  t.ok(row.steps == 20 and row.tokens == 640, row.entrant .. ": the tokens of the budget")
end
local row = {}
for _, one in ipairs(b.rows) do row[one.entrant] = one end
t.is(row["dense-active"].active, row.hash.active, "dense-active has what a token of hash uses")
t.is(row["dense-total"].total, row.hash.total, "dense-total has what hash has")

-- by FLOPs
local FLOPS = 4e6
local _, by_flops = printed(bakeoff, spec{budget = {flops = FLOPS}, seeds = 1, name = "by-flops"})
for _, one in ipairs(by_flops.rows) do
  local step = 32 * one.flops_per_token
  t.ok(one.flops <= FLOPS and one.flops + step > FLOPS, one.entrant
    .. ": as many steps as the FLOPs are for", one.flops)
end

-- ---- the tables are the runs' own histories ----

local function of_run(name)
  local s = runs(b.dir .. "/" .. name)
  local val = s:history "val_loss"
  local last = val[val.shape[1]]
  return last[2]:item(), last[1]:item(), s
end

local one, at = of_run "switch-1"
local two = of_run "switch-2"
t.is(at, 20, "a run's last step is evaluated")
t.near(row.switch.loss, (one + two) / 2, 1e-12, "loss: the mean of the seeds")
t.near(row.switch.deviation, math.abs(one - two) / math.sqrt(2), 1e-12, "its deviation")
t.is(row.switch.best, math.min(one, two), "the best")
t.ok(one ~= two, "seeds differ")

local _, _, s = of_run "switch-1"
local seconds = 0
for _, name in ipairs {"time.data", "time.compute", "time.optimizer"} do
  seconds = seconds + s:history(name):narrow(2, 2, 1):sum():item()
end
t.near(b.records[3].seconds, seconds, 1e-9, "seconds are those of its steps")
local loads = s:history "load.1":table()
local sums, most = {0, 0, 0, 0}, 0
for i = 19, 20 do
  local of = table.move(loads[i], 2, 5, 1, {})
  local sum = of[1] + of[2] + of[3] + of[4]
  most = most + math.max(table.unpack(of)) * 4 / sum / 2
  for e = 1, 4 do sums[e] = sums[e] + of[e] end
end
t.near(b.records[3].max_mean, most, 1e-9, "max/mean of the last tenth of the steps")
t.near(b.records[3].max_vio,
  math.max(table.unpack(sums)) * 4 / (sums[1] + sums[2] + sums[3] + sums[4]) - 1, 1e-9, "MaxVio")
t.is(row["dense-active"].max_mean, nil, "a dense model has no balance")

-- the same windows, for all of a seed: what each has learned from
local same = true
for _, other in ipairs {"dense-total-1", "hash-1"} do
  local _, _, its = of_run(other)
  local config, mine = its.config, s.config
  same = same and config.train.seed == mine.train.seed and config.train.batch == mine.train.batch
    and config.data.hash == mine.data.hash
end
t.ok(same, "entrants of one seed have the same windows")

-- ---- ratios at equal loss, by hand ----

local function curve(...)
  local list = {}
  for i, p in ipairs {...} do list[i] = {flops = p[1], seconds = 2 * p[1], loss = p[2]} end
  return list
end
local base = curve({10, 4}, {20, 3}, {30, 2.5}, {40, 2})
local mine = curve({10, 3}, {20, 2.6}, {30, 2.2})
local levels = results.levels(base)
t.is(table.concat(levels, " "), "3 2.5 2", "three losses of the baseline")
local ratios = results.ratios(base, mine, levels)
t.near(ratios[1].flops, 2, 1e-12, "reached at the first evaluation")
t.ok(not ratios[1].least, "just there")
local early = results.ratios(base, curve({10, 2.9}, {20, 2.6}), levels)[1]
t.ok(early.flops == 2 and early.least, "below it there: at least so much cheaper")
t.near(ratios[2].flops, 30 / 22.5, 1e-12, "between two evaluations, on the line")
t.is(ratios[3].flops, nil, "not reached")
t.near(results.needed(mine, 2.4, "seconds"), 50, 1e-12, "seconds likewise")

-- ---- files ----

local md, csv, svg_path = t.scratch "b.md", t.scratch "b.csv", t.scratch "b.svg"
t.ok(b:save(md) (svg_path), "save one, and call what that gives with the next")
t.ok(b:save(csv, svg_path, {log = true}), "several at a time")
local lines = {}
for line in t.read(csv):gmatch "[^\n]+" do
  local fields = {}
  for field in (line .. ","):gmatch "([^,]*)," do fields[#fields + 1] = field end
  lines[#lines + 1] = fields
end
local column = {}
for i, name in ipairs(lines[1]) do column[name] = i end
local equal = #lines == 7
for i, one_row in ipairs(b.rows) do
  for _, name in ipairs {"loss", "deviation", "best", "steps", "seconds", "max_vio"} do
    local text = lines[i + 1][column[name]]
    equal = equal and (one_row[name] and math.abs(tonumber(text) - one_row[name])
      <= 1e-8 * one_row[name] or not one_row[name] and text == "")
  end
end
t.ok(equal, "the CSV has the table's numbers")
local table_text = t.read(md)
t.ok(table_text:find(("| switch       |"), 1, true)
  and table_text:find(("%.4f"):format(row.switch.loss), 1, true), "Markdown has the table",
  table_text)
local shown = tostring(b:table())
t.ok(shown:find(("%.4f"):format(row.hash.loss), 1, true) and b:table()[1].loss == b.rows[1].loss,
  "b:table() is the rows, and prints as the tables")
for line in shown:gmatch "[^\n]+" do
  if utf8.len(line) >= engine.columns() then t.ok(false, "lines fit the terminal", line) end
end

-- Elements nest, attributes are quoted, no bare & or <: as far as SVG of ours goes.
local function well_formed(text)
  local stack = {}
  text = text:gsub("<style>.-</style>", "")
  for outside, close, name, rest in ("<x></x>" .. text):gmatch "([^<]*)<(/?)([%w]+)([^<>]*)>" do
    if outside:gsub("&[%a#%d]+;", ""):find "[&>]" then return false, outside end
    if close == "/" then
      if table.remove(stack) ~= name then return false, name end
    else
      local bare = rest:gsub("/$", ""):gsub('%s[%w:-]+="[^"&<]*"', "")
      if bare:find "%S" then return false, rest end
      if not rest:find "/$" then stack[#stack + 1] = name end
    end
  end
  return #stack == 0, stack[1]
end
local picture = t.read(svg_path)
t.ok(well_formed(picture), "the picture is well-formed")
local _, polylines = picture:gsub("<polyline", "")
t.is(polylines, 18, "six curves in three panels")
local svg = require "switchyard.lab.svg"
local odd = svg.charts{title = "a < b & \"c\" \27", panels = {{x = "x", y = "y", lines = {
  {label = "<l>", points = {{1, 1}, {2, 0 / 0}, {3, 3}, {4, 2}}}, {label = "none", points = {}}}}}}
t.ok(well_formed(odd), "names are escaped")
t.ok(well_formed(svg.heatmap{title = "h", rows = {"a&b", "c"}, columns = {1, 2},
                             values = {{1, 2}, {0 / 0}}}), "a heatmap")
t.is(table.concat(svg.ticks(0, 1, 5), " "), "0.0 0.2 0.4 0.6 0.8 1.0", "ticks at 1, 2, 5")
t.is(table.concat(svg.ticks(1, 1000, 6, true), " "), "1.0 10.0 100.0 1000.0", "decades")

-- ---- refusals: one line each ----

local function refused(what, more, ...)
  t.refuses(function() bakeoff(spec(more)) end, what, ...)
end
refused("an unknown router", {routers = {"swich"}}, "'swich'", "did you mean 'switch'?")
refused("no data", {data = false}, "data must be a dataset")
refused("two budgets", {budget = {flops = 1, tokens = 2}}, "flops and tokens")
refused("no budget", {budget = {}}, "it has none")
refused("no seeds", {seeds = 0}, "seeds must be from 1", "it is 0")
refused("a budget too small for a step", {budget = {tokens = 31}}, "31 tokens is too small",
  "'dense-active' takes 32 tokens")
refused("likewise of FLOPs", {budget = {flops = 1e4}}, "too small", "FLOPs (32 tokens of")
refused("two of the same name", {routers = {"switch", "switch"}},
  "two entrants are called 'switch'")
refused("no routers", {routers = {}}, "routers is empty")
refused("steps", {train = {steps = 3}}, "train.steps has no effect")
refused("an unknown option of train", {train = {btch = 3}}, "did you mean 'batch'?")
refused("an unknown option of the model", {model = {laers = 3}}, "did you mean 'layers'?")
refused("a router's wrong option", {routers = {{"deepseek_v3", groups = 3}}}, "'deepseek_v3'")
refused("a label that is no folder", {routers = {{label = "a/b", router = "switch"}}}, "'a/b'")
refused("a schedule without an end", {train = {schedule = "cosine"}, budget = {seconds = 1}},
  "cosine")
refused("a folder of another's", {budget = {tokens = 320}}, "of another bake-off",
  "budget.tokens is 320, was 640")
refused("likewise with another model", {model = t.with(MODEL, {dim = 16})},
  "model.dim is 16, was 8")
refused("likewise with other data", {data = data.synthetic{domains = 2, tokens = 8000, seed = 2}},
  "data.hash")
t.raises(function() b:save "b.txt" end, ".md, .svg or .csv", "a file of an unknown kind")
local nothing, why, code = b:save "/no/such/folder/b.md"
t.ok(nothing == nil and why:find "/no/such/folder" and code, "a folder that is not there: nil, why",
  why)
train(model.dense{layers = 1, dim = 8, heads = 1, context = 8, ffn_dim = 8, vocab = d.vocab}, d,
  {steps = 1, batch = 1, name = "a-run"}):wait():close()
refused("a run has the name", {name = "a-run"}, "is no bake-off's")
local before = losses(b)
local manifest = b.dir .. "/bakeoff.json"
local whole = t.read(manifest)
t.write(manifest, whole:sub(1, #whole // 2))
refused("a damaged manifest", {}, "bakeoff.json")
t.write(manifest, (whole:gsub('"format": 1', '"format": 1, "more": 2')))
refused("one with a field that is not known", {}, "'more'")
t.write(manifest, whole)

-- ---- a finished one is only read ----

local again = select(2, printed(bakeoff, spec()))
t.is(losses(again), before, "called again: the same table")
t.is(b.dir, again.dir, "the same folder")

-- ---- labels, options that a router has none of ----

local text, own = printed(bakeoff, spec{name = "own", seeds = 1, controls = false,
  baselines = false, model = t.with(MODEL, {top_k = 2, balance = {aux = 0.02}}), routers = {
    "switch", {label = "dropless", router = "gshard", capacity = false},
    {label = "bias", router = "sigmoid", balance = {gamma = 1e-3}}}})
t.ok(#own.rows == 3 and own.rows[2].entrant == "dropless", "entrants with labels")
t.ok(text:find("switch: without top_k of model", 1, true),
  "what a router has no use for is left out, and told", text)
t.is(own.rows[1].ratios[1], nil, "without a baseline there are no ratios")

-- ---- killed at any moment ----

local SCRIPT = t.write(t.scratch "killed.lua", [[
local more = {budget = {tokens = 9600}, name = arg[1], seeds = 1, points = 10}
local o = {routers = {"switch"}, data = data.synthetic{domains = 2, tokens = 8000, seed = 1},
  model = {layers = 1, dim = 8, heads = 1, context = 8, experts = 4, expert_dim = 8},
  train = {batch = 4, lr = 5e-3, warmup = 2, checkpoint_every = 50}, eval_batches = 1}
for k, v in pairs(more) do o[k] = v end
b = bakeoff(o)
b:save(arg[2])
]])

-- Of a CSV what is no time.
local function stable(path)
  local out = {}
  for line in t.read(path):gmatch "[^\n]+" do
    local fields = {}
    for field in (line .. ","):gmatch "([^,]*)," do fields[#fields + 1] = field end
    fields[column.seconds], fields[column.tok_s] = "", ""
    for i = 1, 3 do fields[column["seconds_ratio_" .. i]] = "" end
    out[#out + 1] = table.concat(fields, ",")
  end
  return table.concat(out, "\n")
end

local function child(name, csv_path, before_it)
  return t.child(("'%s' %s '%s'"):format(SCRIPT, name, csv_path), {environment = before_it})
end
child("whole", t.scratch "whole.csv")
local want = stable(t.scratch "whole.csv")
local kills = 0
for i, limit in ipairs {0.3, 0.45, 0.6, 0.8, 1.1} do
  local name, path = "killed-" .. i, t.scratch("killed-" .. i .. ".csv")
  for k = 1, 3 do
    local _, status = child(name, path, ("timeout -s KILL %.2f"):format(limit + 0.1 * k))
    kills = kills + (status == 0 and 0 or 1)
  end
  local out, status = child(name, path)
  if not t.ok(status == 0 and stable(path) == want, ("killed about %.1f s into it, then the same")
    :format(limit), out) then print("# " .. stable(path):gsub("\n", "\n# ")) end
end
t.ok(kills > 0, kills .. " were killed")

-- ---- the command ----

local FILE = t.write(t.scratch "of_file.lua", [[
return {routers = {"switch"}, data = data.synthetic{domains = 2, tokens = 8000, seed = 1},
  model = {layers = 1, dim = 8, heads = 1, context = 8, experts = 4, expert_dim = 8},
  train = {batch = 4}, budget = {tokens = 320}, seeds = 1, eval_batches = 1, points = 2}
]])
local saved_csv = t.scratch "of-file.csv"
local out, status = t.child(("bakeoff '%s' --save '%s'"):format(FILE, saved_csv))
t.ok(status == 0 and out:find "| switch  " and out:find "bake%-off of_file:",
  "switchyard bakeoff FILE: the table", out)
t.ok(t.read(saved_csv):find "\nswitch,router,1,", "--save")
out, status = t.child(("bakeoff '%s' --tokens 640"):format(FILE))
t.ok(status == 1 and out:find "budget.tokens is 640, was 320",
  "another budget by the same name is refused, with 1", out)
out, status = t.child(("bakeoff '%s' --tokens 640 --name other"):format(FILE))
t.ok(status == 0 and out:find "640 tokens each", "by another name it is not", out)
out, status = t.child(("bakeoff '%s' --save b.txt"):format(FILE))
t.ok(status == 1 and out:find "%.md, %.svg or %.csv", "what cannot be saved is said first", out)
t.write(FILE, "x = 1")
out, status = t.child(("bakeoff '%s'"):format(FILE))
t.ok(status == 1 and out:find "returned nil", "a file that returns nothing", out)
t.is(select(2, t.child "bakeoff"), 2, "no file: 2")

-- ---- at the prompt ----

local LINES = t.write(t.scratch "lines.txt", ("dofile %q\nprint(#b.records)\n"):format(
  t.write(t.scratch "typed.lua", t.read(SCRIPT):gsub("arg%[1%]", '"typed"')
    :gsub("b:save%(arg%[2%]%)", ""))))
out = t.child(("--plain -i < '%s'"):format(LINES))
t.ok(out:find "\n5\n" and not out:find "there is no",
  "nothing is said of runs that are not there yet", out)

-- ---- interrupted ----

out, status = child("stopped", t.scratch "stopped.csv", "timeout -s INT 1")
t.ok(status == 124 or status == 130 or status == 0, "an interrupt ends it", out)
if status ~= 0 and out:find "saved at step" then
  t.ok(out:find("resume " .. engine.runs_dir() .. "/stopped/", 1, true),
    "what it says goes on has the path of the run's directory", out)
end
_, status = child("stopped", t.scratch "stopped.csv")
t.ok(status == 0 and stable(t.scratch "stopped.csv") == want, "and the same call goes on")

-- ---- losses that are not finite ----

local _, hot = printed(bakeoff, spec{train = {batch = 4, warmup = 0, lr = 1e6}, seeds = 1,
  controls = false, name = "hot"})
local told = tostring(hot)
t.ok(told:find "not in the losses" and told:find "no ratios: dense%-active",
  "a table all the same", told)

-- ---- a budget of seconds ----

local _, timed = printed(bakeoff, spec{budget = {seconds = 0.05}, seeds = 1, controls = false,
  name = "timed", train = {batch = 4, warmup = 2}})
for _, r in ipairs(timed.records) do
  local last = r.curve[#r.curve]
  t.ok(r.state == "done" and last.step == r.steps and r.seconds + r.seconds / r.steps >= 0.05,
    r.label .. ": until its seconds are used, and evaluated then", r.seconds)
  t.is(#r.changes, 0, "its own steps are no change by hand")
end

t.done()

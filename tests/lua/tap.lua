-- TAP for tests in Lua:  local t = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local t, n, failed = {}, 0, 0

-- The line of the test itself.
local function place()
  for line in debug.traceback():gmatch "[^\n]*tests/lua[^\n]*" do
    if not line:find("tap.lua", 1, true) then return line:match "%S.*" end
  end
  return "?"
end

--- A case; the note is printed when it fails.
function t.ok(condition, what, note)
  n = n + 1
  print((condition and "ok %d - %s" or "not ok %d - %s"):format(n, what))
  if not condition then
    failed = failed + 1
    print("#   " .. place())
    if note then print("#   " .. tostring(note):gsub("\n", "\n#   ")) end
  end
  return condition
end

function t.skip(what, why)
  n = n + 1
  print(("ok %d - %s # SKIP %s"):format(n, what, why))
end

function t.is(got, want, what)
  local good = got == want
  t.ok(good, what, not good and ("got %s, want %s"):format(got, want))
end

function t.near(got, want, tolerance, what)
  t.ok(type(got) == "number" and math.abs(got - want) <= tolerance, what,
    ("got %s, want %s"):format(got, want))
end

--- f raises an error of one line that holds each of these plain texts.
function t.refuses(f, what, ...)
  local good, message = pcall(f)
  message = tostring(message)
  local holds = not good and not message:find "\n"
  for _, text in ipairs {...} do holds = holds and message:find(text, 1, true) ~= nil end
  t.ok(holds, what, good and "no error" or "got " .. message)
end

function t.raises(f, text, what)
  t.refuses(f, what or text, text)
end

--- The globals that a function of the program sees: not those of users.
function t.globals_of(f)
  for i = 1, math.huge do
    local name, value = debug.getupvalue(f, i)
    if name == "_ENV" or not name then return value end
  end
end

-- ---- tables, tensors, runs, time ----

--- A table with the fields of all these, of a later one before those of one before it.
function t.with(...)
  local out = {}
  for i = 1, select("#", ...) do
    for k, v in pairs((select(i, ...)) or {}) do out[k] = v end
  end
  return out
end

--- pairs(list) in the order of its keys' texts: a test does the same in the same order each time.
function t.sorted(list)
  local keys, i = {}, 0
  for key in pairs(list) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  return function()
    i = i + 1
    return keys[i], list[keys[i]]
  end
end

--- The largest difference of two tensors' elements.
function t.furthest(a, b) return (a:detach() - b:detach()):abs():max():item() end

--- A run's series: for each row its value, or the list of its values.
function t.series(r, name)
  local out = {}
  for i, row in ipairs(r:history(name):table()) do
    out[i] = #row == 2 and row[2] or table.move(row, 2, #row, 1, {})
  end
  return out
end

--- The same as a tensor (rows, values).
function t.values(r, name)
  local rows = r:history(name)
  return rows:narrow(2, 2, rows.shape[2] - 1)
end

--- What f returns as soon as it is true; for what another thread or process brings about, however
-- slow the machine is: the limit is there to end a hang.
function t.poll(f)
  local limit = os.time() + 120
  repeat
    local good = f()
    if good then return good end
    sleep(0.02)
  until os.time() > limit
end

-- ---- files and other processes ----

t.program = os.getenv "SWITCHYARD" or "./switchyard"

--- The path of a file of that name in this test's own folder, which is removed afterwards.
function t.scratch(name)
  return (os.getenv "SWITCHYARD_RUNS" or "./runs"):match "^(.*)/" .. "/" .. name
end

--- A new folder there.
function t.folder(name)
  local path = t.scratch(name)
  assert(os.execute("mkdir -p '" .. path .. "'"))
  return path
end

--- The bytes of a file.
function t.read(path)
  local f <close> = assert(io.open(path, "rb"))
  return f:read "a"
end

--- A file of these bytes; returns its path.
function t.write(path, bytes)
  local f <close> = assert(io.open(path, "wb"))
  f:write(bytes)
  return path
end

--- What a command prints, on standard error as well, and its exit status.
function t.output(command)
  local f <close> = assert(io.popen(command .. " 2>&1"))
  local text = f:read "a"
  return text, select(3, f:close())
end

--- What the program prints with these arguments, and its exit status.  options: runs, a folder
-- (that of this test by default), and environment, words before the command.
function t.child(arguments, options)
  local o = options or {}
  return t.output(("%s '%s' -E --runs '%s' %s"):format(o.environment or "", t.program,
    o.runs or require("switchyard.engine").runs_dir(), arguments))
end

--- What this very test prints with "worker" as argument, on that kernel set and so many threads.
function t.worker(cpu, threads, more)
  return (t.output(
    ("SWITCHYARD_CPU=%s SWITCHYARD_THREADS=%d OPENBLAS_NUM_THREADS=1 '%s' '%s' worker %s")
      :format(cpu, threads, t.program, arg[0], more or "")))
end

function t.done()
  print("1.." .. n)
  os.exit(failed == 0)
end

return t

-- TAP for tests in Lua:  local t = dofile(os.getenv "srcdir" .. "/tests/lua/tap.lua")
local t, n, failed = {}, 0, 0

function t.ok(condition, what)
  n = n + 1
  print((condition and "ok %d - %s" or "not ok %d - %s"):format(n, what))
  if not condition then
    failed = failed + 1
    print("#   " .. debug.traceback("", 2):match "[^\n]*tests/lua[^\n]*")
  end
  return condition
end

function t.is(got, want, what)
  if not t.ok(got == want, what) then print("#   got " .. tostring(got) .. ", want " .. tostring(want)) end
end

function t.near(got, want, tolerance, what)
  if not t.ok(math.abs(got - want) <= tolerance, what) then print("#   got " .. got .. ", want " .. want) end
end

--- f raises an error that holds this plain text, in one line.
function t.raises(f, text, what)
  local good, message = pcall(f)
  message = tostring(message)
  if not t.ok(not good and message:find(text, 1, true) and not message:find "\n", what or text) then
    print("#   " .. (good and "no error" or "got " .. message:gsub("\n", "\n#   ")))
  end
end

function t.done()
  print("1.." .. n)
  os.exit(failed == 0)
end

return t

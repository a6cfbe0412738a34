-- What a script may not do: switch on compiled code, which cannot be interrupted, end the router, or catch its own interruption.
local is_spent = ...
local raise = error

jit.off()
jit.flush()
jit.on = function() end

os.exit = function()
  raise("os.exit does not end the router", 2)
end

local function unless_spent(...)
  if is_spent() then
    raise("the script has used up its instructions", 0)
  end
  return ...
end

for place, name in pairs({ [_G] = "pcall", [coroutine] = "resume" }) do
  local guarded = place[name]
  place[name] = function(...)
    return unless_spent(guarded(...))
  end
end

local guarded = xpcall
xpcall = function(...)
  return unless_spent(guarded(...))
end

return require("jit.util").funcinfo

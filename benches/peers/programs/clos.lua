local function adder(i)
  return function(x) return x + i end
end

function tick()
  local sum = 0
  for i = 0, 99999 do sum = sum + adder(i)(1) end
  return sum
end

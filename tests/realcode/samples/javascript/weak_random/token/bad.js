function createToken() {
  let result = '';
  for (let i = 0; i < 4; i += 1) {
    result += Math.random().toString(36).slice(2);
  }
  return result;
}

module.exports = createToken;

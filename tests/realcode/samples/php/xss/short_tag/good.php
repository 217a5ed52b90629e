<form action="/search">
  <input name="q" value="<?= htmlspecialchars($_GET['q'] ?? '') ?>">
  <button>Search</button>
</form>

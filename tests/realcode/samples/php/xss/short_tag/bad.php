<form action="/search">
  <input name="q" value="<?= $_GET['q'] ?? '' ?>">
  <button>Search</button>
</form>

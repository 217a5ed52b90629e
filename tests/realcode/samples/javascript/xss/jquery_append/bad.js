const hash = location.hash.slice(1);
document.writeln(decodeURIComponent(hash));
const range = document.createRange();
document.body.append(range.createContextualFragment(hash));
$('#list').append('<li>' + hash + '</li>');

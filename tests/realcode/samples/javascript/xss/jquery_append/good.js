const hash = location.hash.slice(1);
document.body.append(document.createTextNode(hash));
$('#list').append($('<li>').text(hash));

function remind(name, delay) {
  setTimeout("alert('" + name + "')", delay);
}

document.querySelector('#remind').addEventListener('click', () => {
  remind(document.querySelector('#name').value, 1000);
});

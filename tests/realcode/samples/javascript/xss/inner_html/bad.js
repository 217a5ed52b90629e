async function showComments(list) {
  const answer = await fetch('/api/comments');
  const comments = await answer.json();
  for (const comment of comments) {
    list.innerHTML += `<li><b>${comment.author}</b>: ${comment.text}</li>`;
  }
}

showComments(document.getElementById('comments'));

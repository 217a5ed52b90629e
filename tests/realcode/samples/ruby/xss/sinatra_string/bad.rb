require 'sinatra'

get '/hello' do
  name = params['name']
  "<p>Hello #{name}</p>"
end

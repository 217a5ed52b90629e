require 'sinatra'

get '/ping' do
  host = params['host']
  system("ping -c 1 #{host}") ? 'up' : 'down'
end
